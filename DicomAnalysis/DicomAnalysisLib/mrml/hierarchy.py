"""The subject hierarchy: which patient, study and series a node belongs to."""

from __future__ import annotations

from collections.abc import Mapping

import slicer

from ..volume import SeriesIdentity

INSTANCE_UIDS = "DICOM.instanceUIDs"
"""Node attribute in which Slicer's own loader keeps the SOP Instance UIDs, separated by spaces."""

SOURCE_ROLE = "DicomAnalysis.source"
"""Node reference from a result to the volume it was made from."""

_UID = "DICOM"
_STUDY_LEVEL = "Study"
_PATIENT_LEVEL = "Patient"
_PATIENT_ID = "DICOM.PatientID"
_STUDY_UID = "DICOM.StudyInstanceUID"
_ATTRIBUTES = {
    "modality": "DICOM.Modality",
    "frame_of_reference_uid": "DICOM.FrameOfReferenceUID",
    "patient_position": "DICOM.PatientPosition",
    "body_part": "DICOM.BodyPartExamined",
}
"""Fields of SeriesIdentity and the attribute of the series item that keeps each."""


def place_series(
    scene: slicer.vtkMRMLScene,
    node: slicer.vtkMRMLNode,
    identity: SeriesIdentity,
    instance_uids: tuple[str, ...] = (),
    labels: Mapping[str, str] | None = None,
) -> None:
    """Put a node under its patient and study, as Slicer's DICOM loader does.

    Parameters
    ----------
    scene : vtkMRMLScene
    node : vtkMRMLNode
    identity : SeriesIdentity
        Without a series and a study UID the node stays at the top of the hierarchy.
    instance_uids : tuple of str
        SOP Instance UIDs, for the series item.
    labels : mapping, optional
        ``patient`` and ``study``: names of these items when they are made here
        (by default the Patient ID and "Study").
    """
    hierarchy = scene.GetSubjectHierarchyNode()
    item = item_of(hierarchy, node)
    for field, attribute in _ATTRIBUTES.items():
        hierarchy.SetItemAttribute(item, attribute, getattr(identity, field))
    if instance_uids:
        hierarchy.SetItemUID(item, "DICOMInstanceUID", " ".join(instance_uids))
    if not (identity.series_uid and identity.study_uid):
        return
    labels = labels or {}
    # Patient ID may be empty; the prefix keeps the patient's UID apart from the study's, as in Slicer's loader.
    patient_uid = identity.patient_id or f"Patient-{identity.study_uid}"
    known = {uid for uid in (patient_uid, identity.study_uid) if hierarchy.GetItemByUID(_UID, uid)}
    hierarchy.SetItemUID(item, _UID, identity.series_uid)
    slicer.vtkSlicerSubjectHierarchyModuleLogic.InsertDicomSeriesInHierarchy(
        hierarchy, patient_uid, identity.study_uid, identity.series_uid
    )
    study = hierarchy.GetItemByUID(_UID, identity.study_uid)
    patient = hierarchy.GetItemByUID(_UID, patient_uid)
    if patient_uid not in known:
        hierarchy.SetItemAttribute(patient, _PATIENT_ID, patient_uid)
        hierarchy.SetItemName(patient, labels.get("patient") or patient_uid)
    if identity.study_uid not in known:
        hierarchy.SetItemAttribute(study, _STUDY_UID, identity.study_uid)
        hierarchy.SetItemName(study, labels.get("study") or "Study")
    # Two stacks of one series share its UID, and only one of them is found by it.
    hierarchy.SetItemParent(item, study)


def place_result(scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLNode, source: slicer.vtkMRMLNode) -> None:
    """Put a result under the study of the node it was made from, or beside it where there is no study.

    The result keeps a reference to its source (`SOURCE_ROLE`).
    """
    node.SetNodeReferenceID(SOURCE_ROLE, source.GetID())
    place_beside(scene, node, source)


def place_beside(scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLNode, source: slicer.vtkMRMLNode) -> None:
    """Put a node under the study of another, or beside it where there is no study."""
    hierarchy = scene.GetSubjectHierarchyNode()
    item, source_item = item_of(hierarchy, node), item_of(hierarchy, source)
    study = hierarchy.GetItemAncestorAtLevel(source_item, _STUDY_LEVEL)
    hierarchy.SetItemParent(item, study or hierarchy.GetItemParent(source_item))


def identity_of_node(node: slicer.vtkMRMLNode) -> SeriesIdentity:
    """What the subject hierarchy knows about a node; a node that was not loaded from DICOM has no UIDs."""
    scene = node.GetScene()
    hierarchy = scene.GetSubjectHierarchyNode() if scene is not None else None
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    if not item:
        return SeriesIdentity(series_description=node.GetName() or "")
    study = hierarchy.GetItemAncestorAtLevel(item, _STUDY_LEVEL)
    patient = hierarchy.GetItemAncestorAtLevel(item, _PATIENT_LEVEL)
    fields = {field: hierarchy.GetItemAttribute(item, attribute) for field, attribute in _ATTRIBUTES.items()}
    fields["modality"] = fields["modality"] or SeriesIdentity.modality
    return SeriesIdentity(
        series_uid=hierarchy.GetItemUID(item, _UID),
        study_uid=hierarchy.GetItemUID(study, _UID) if study else "",
        patient_id=hierarchy.GetItemAttribute(patient, _PATIENT_ID) if patient else "",
        series_description=node.GetName() or "",
        **fields,
    )


def item_of(hierarchy: slicer.vtkMRMLSubjectHierarchyNode, node: slicer.vtkMRMLNode) -> int:
    """The item of a node; made where the application has not made one."""
    return hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

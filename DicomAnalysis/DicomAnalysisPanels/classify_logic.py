"""The logic's part for classifying: loaded volumes, and series of the DICOM database."""

import slicer

from .background import BackgroundJob, database_source, require_in_scene


class ClassificationLogic:
    """Calls of `DicomAnalysisLogic` that ask a trained classifier; `scene` is where results go to."""

    def classify(self, volumeNode, model=None, explain=False, device="auto"):
        """Ask a trained classifier about a volume; the answer becomes a row of a table under the model's name.

        Parameters
        ----------
        volumeNode : vtkMRMLScalarVolumeNode, or dict of str to vtkMRMLScalarVolumeNode
            For a model that looks at several views: the volume of each, by the view's name; missing ones left out.
        model : str or path, optional
            The folder of a model, or the name of one that is shipped; by default the only one that is shipped.
        explain : bool, str or sequence of str
            Also make an overlay of where the model looked: True or ``"grad-cam"``, or ``"occlusion"``, of the model's
            first target. ``"all"`` is every target, a target's name the class that is told of it, ``"TARGET:CLASS"``
            any class; several of these in a list, with the method or without.
        device : str
            ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

        Returns
        -------
        DicomAnalysisLib.mrml.ClassificationNodes
            ``table_node``, ``overlay_nodes`` (for each class that was asked for one for each view) and ``result``:
            ``result.words`` ("normal 3.7 %, abnormal 96.3 %"), ``result.probabilities``, ``result.warnings``.

        Raises
        ------
        DicomAnalysisLib.errors.DicomAnalysisError
            If there is no such model, or the volume cannot be classified; the message says why.

        Examples
        --------
        >>> nodes = DicomAnalysisLogic().classify(volumeNode, "/home/me/chest-classifier", explain=True)
        >>> nodes.result.words
        'normal 3.7 %, abnormal 96.3 %'
        """
        from DicomAnalysisLib.classification.prediction import load_classifier

        nodes = _byView(volumeNode)
        classifier = load_classifier(self._classifier(model), device)
        return self.applyClassification(nodes, classifier.predict(self._volumes(nodes, classifier.view_names), explain))

    def classifyInBackground(self, volumeNode, model=None, explain=False, device="auto", onProgress=None, onDone=None):
        """`classify` in a process of its own, so that Slicer stays usable.

        Parameters are those of `classify`, and `onProgress` and `onDone` those of `segmentInBackground`.

        Returns
        -------
        DicomAnalysisPanels.background.BackgroundJob
            ``cancel()`` stops it; ``wait()`` waits for it and returns the `ClassificationNodes`.

        Raises
        ------
        DicomAnalysisLib.errors.DicomAnalysisError
            If there is no such model, or a volume cannot be read.
        """
        from DicomAnalysisLib.classification.models import read_classifier, view_names
        from DicomAnalysisLib.jobs import classify_volume_job

        nodes = _byView(volumeNode)
        manifest = read_classifier(self._classifier(model))
        volumes = self._volumes(nodes, view_names(manifest.description.input))

        def intoScene(result):
            for node in nodes.values():
                require_in_scene(node)
            return self.applyClassification(nodes, result)

        job = classify_volume_job(volumes, manifest.folder, explain=explain, device=device)
        return BackgroundJob(job, intoScene, on_progress=onProgress, on_done=onDone)

    def applyClassification(self, volumeNodes, result):
        """The second half of `classify`: put a result into the scene; returns `ClassificationNodes`."""
        from DicomAnalysisLib.mrml import classification_to_nodes, find_classification
        from DicomAnalysisLib.mrml.undo import UndoPoint

        nodes = _byView(volumeNodes)
        if set(nodes) == {""} and result.views:
            nodes = {next(iter(result.views)): nodes[""]}
        overlays = [one for node in nodes.values() for one in find_classification(self.scene, node).overlay_nodes]
        table = find_classification(self.scene, None, result.model).table_node
        undo = UndoPoint(self.scene, (table, *overlays))
        made = classification_to_nodes(self.scene, result, nodes)
        undo.note((made.table_node, *made.overlay_nodes))
        self._undo = undo
        return made

    def classifySeries(
        self,
        seriesInstanceUIDs,
        outputFolder,
        model=None,
        explain=False,
        device="auto",
        views=(),
        resume=False,
        database=None,
        onProgress=None,
        onSeries=None,
        onDone=None,
    ):
        """Classify series of Slicer's DICOM database into files, in a process of its own.

        Each series (with a model of several views each study) gets a folder in `outputFolder`, and all of
        them a row of ``classification.csv``, as from the command ``dicom-analysis classify``. One that fails
        never stops the others.

        Parameters
        ----------
        seriesInstanceUIDs : sequence of str
        outputFolder : str or path
        model, explain, device
            As for `classify`.
        views : sequence of str
            For models of several views, how a series is known to be one, ``"LCC:laterality=L,position=CC"`` each; by
            default as the model says, or by what the headers state.
        resume : bool
            Leave alone what an earlier run with the same model and options has done in the folder.
        database : ctkDICOMDatabase, optional
            Slicer's own by default.
        onProgress, onDone : callable, optional
            As for `segmentInBackground`.
        onSeries : callable, optional
            Called with a `DicomAnalysisLib.jobs.SeriesUpdate` when a case begins and when it ends.

        Returns
        -------
        DicomAnalysisPanels.background.BackgroundJob
            Its result is a dict: ``output``, ``complete``, ``counts`` by status, ``table``, ``left_out``, ``problems``.
        """
        from DicomAnalysisLib.classification.models import read_classifier
        from DicomAnalysisLib.jobs import classify_series_job

        wanted = list(seriesInstanceUIDs)
        job = classify_series_job(
            database_source(database or slicer.dicomDatabase, wanted),
            outputFolder,
            read_classifier(self._classifier(model)).folder,
            series_uids=wanted,
            explain=explain,
            device=device,
            views=views,
            resume=resume,
        )
        return BackgroundJob(job, on_progress=onProgress, on_series=onSeries, on_done=onDone)

    def loadClassifications(self, folders, names=None):
        """Put results that `classifySeries` wrote into the scene's table; returns the table's node.

        Parameters
        ----------
        folders : sequence of str or path
            Each with a ``classification.json``; all of one model.
        names : dict of str to str, optional
            What a series is called in the table, by its UID; by default its UID.

        Raises
        ------
        DicomAnalysisLib.errors.SourceError
            If one cannot be read.
        """
        from DicomAnalysisLib.files.classification_folder import read_classification
        from DicomAnalysisLib.mrml import classification_table

        results = [read_classification(folder) for folder in folders]
        names = names or {}
        rows = [(names.get(one.identity.series_uid, one.identity.series_uid), one) for one in results]
        return classification_table(self.scene, rows)

    def classification(self, volumeNode):
        """What `classify` left in the scene: `ClassificationNodes` with the newest table and the volume's overlays."""
        from DicomAnalysisLib.mrml import find_classification

        return find_classification(self.scene, volumeNode)

    def classifiers(self):
        """Names of the classifiers that come with the program."""
        from DicomAnalysisLib.classification.models import shipped_classifiers

        return [manifest.folder.name for manifest in shipped_classifiers()]

    def classifierInformation(self, model):
        """What a model tells, as a dict: ``name``, ``version``, ``sha256``, ``targets``, ``views``, ``range`` ...

        Neither torch nor its weights are needed.

        Raises
        ------
        DicomAnalysisLib.errors.DicomAnalysisError
            If there is no such model, or it does not classify.
        """
        from DicomAnalysisLib.classification.heads import targets_of
        from DicomAnalysisLib.classification.models import read_classifier, view_names

        manifest = read_classifier(model)
        description = manifest.description
        return {
            "name": description.name,
            "version": description.version,
            "sha256": manifest.sha256,
            "folder": str(manifest.folder),
            "targets": targets_of(description.output),
            "views": view_names(description.input),
            "range": dict(description.input.get("range") or {}),
            "card": manifest.card,
        }

    def _classifier(self, model):
        """The model that is asked for, or the only one that is shipped."""
        from DicomAnalysisLib.errors import UsageError

        if model:
            return model
        names = self.classifiers()
        if len(names) != 1:
            known = f"Shipped are: {', '.join(names)}." if names else "None is shipped; train one (trainClassifier)."
            msg = f"Say which model is to classify: its folder, or its name. {known}"
            raise UsageError(msg)
        return names[0]

    def _volumes(self, nodes, viewNames):
        """Volumes of nodes by the model's names of views."""
        from DicomAnalysisLib.errors import UsageError
        from DicomAnalysisLib.mrml import node_to_volume

        if set(nodes) == {""} and len(viewNames) > 1:
            msg = (
                f"This model looks at {len(viewNames)} views: give a volume for each by name ({', '.join(viewNames)})."
            )
            raise UsageError(msg)
        if set(nodes) == {""}:
            return {viewNames[0]: node_to_volume(nodes[""])}
        return {name: node_to_volume(node) for name, node in nodes.items()}


def _byView(volumeNode):
    """Nodes by the name of their view; of one node that is the only one."""
    return dict(volumeNode) if isinstance(volumeNode, dict) else {"": volumeNode}

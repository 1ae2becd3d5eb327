"""Put the headrest network where the program finds it, with its scores on the card.

    python Benchmarks/ship_headrest.py --work FOLDER --scores FILE

FOLDER is what `train_headrest.py --ship` left, FILE what `score_headrest_network.py --json` wrote. The scores are
those of the cross-validation: of networks trained in the same way on all patients but one.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "DicomAnalysis"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Data"))

from DicomAnalysisLib import __version__
from DicomAnalysisLib.networks.card import ModelCard, Score, TrainingSet
from DicomAnalysisLib.networks.model_folder import SHIPPED, load_model, save_model
from train_headrest import ALL

VERSION = "1.1.0"
"""1.1.0 is told what the classical method makes of a slice, and learned from more scenes."""
TRAINING_SETS = (
    TrainingSet("abdomen-acrin001-t0", "CC BY 3.0", 1, "TCIA ACRIN-FLT-Breast, doi:10.7937/K9/TCIA.2017.ol20zmxg"),
    TrainingSet("head-torso-acrin001-t1-port", "CC BY 3.0", 0, "TCIA ACRIN-FLT-Breast", "the same patient"),
    TrainingSet("abdomen-cptacpda-biliary-stent", "CC BY 3.0", 1, "TCIA CPTAC-PDA"),
    TrainingSet("chest-lidc314-implicit", "CC BY 3.0", 1, "TCIA LIDC-IDRI"),
    TrainingSet("chest-lungfcp-sternal-wires", "CC BY 3.0", 1, "TCIA Lung-Fused-CT-Pathology"),
    TrainingSet("chest-rider-neardup", "CC BY 3.0", 1, "TCIA RIDER Pilot"),
    TrainingSet("head-ge-tilt-uneven", "BSD-2-Clause", 1, "neurolabusc/dcm_qa_ct"),
    TrainingSet("head-pcir-ge-dental", "public domain", 1, "pcir.org"),
    TrainingSet(
        "cohort-tcga-luad-single-slices", "CC BY 3.0", 17, "TCIA TCGA-LUAD", "labelled by the classical method"
    ),
    TrainingSet(
        "metal-aapm-ctmar",
        "BSD-3-Clause",
        8,
        "AAPM CT-MAR challenge, made with XCIST (GE Precision HealthCare)",
        "single slices labelled by the classical method",
    ),
    TrainingSet("composites and made supports", "Apache-2.0", 0, "", "of the above, by this program"),
)
INTENDED_USE = (
    "Headrest, table, pads and boards in axial CT in Hounsfield units where they touch the patient and the classical "
    "method leaves them to the patient. It works beside the classical method, which it may add to and correct where "
    "it is sure. Research use; look at the result."
)
KNOWN_FAILURES = (
    "Heads: only three were learned from. Ears, noses and hair of others may be taken for support.",
    "Supports as dense as the tissue they touch, without an edge between them.",
    "Bands and sheets thinner than two millimetres along the skin.",
    "Sagittal and coronal reformats, cone-beam CT, small animals.",
)
NAMES = {
    "support_found": "share of the support found",
    "patient_lost_ppm": "patient lost, ppm",
    "dice": "Dice of the support",
    "dice_solid": "Dice of the support without foam",
}
DATA = {
    "series": "series with a reference mask, the patient held out",
    "composite, real": "composites in contact, the patient held out, a scanner's support that no training has shown",
    "composite, made": "composites in contact, the patient held out, a made support",
}


def scores(table: list[dict[str, object]]) -> tuple[Score, ...]:
    """Scores of the network, each beside those of the other methods."""
    found = []
    for row in table:
        if row["method"] != "network":
            continue
        others = [one for one in table if (one["kind"], one["score"]) == (row["kind"], row["score"])]
        baselines = {one["method"]: round(one["mean"], 4) for one in others if one["method"] != "network"}
        data = f"{DATA[row['kind']]} ({row['patients']} patients, {row['cases']} cases; worst {row['worst']:.4g})"
        mean, low, high = (round(row[key], 4) for key in ("mean", "low", "high"))
        found.append(Score(NAMES[row["score"]], data, mean, low, high, 0.95, baselines))
    return tuple(found)


def main() -> None:
    """Ship what was trained and scored."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True)
    arguments = parser.parse_args()
    model = load_model(arguments.work / f"fold-{ALL}" / "model")
    card = ModelCard(
        INTENDED_USE,
        TRAINING_SETS,
        scores(json.loads(arguments.scores.read_text(encoding="utf-8"))),
        KNOWN_FAILURES,
        date.today().isoformat(),
        __version__,
    )
    description = replace(model.description, version=VERSION)
    save_model(SHIPPED / description.name, model.network, description, card)


if __name__ == "__main__":
    main()

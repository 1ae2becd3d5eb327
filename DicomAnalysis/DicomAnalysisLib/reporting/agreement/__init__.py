"""Agreement: is one measurement as good as another? Two raters, or a method against the clinician's hand.

`pairing` joins two columns by identifier, `segment_study` two sets of segmentations; `analysis.analyse` gives
the Bland-Altman limits, the coefficients and what lies outside; `report` writes it for people.

Examples
--------
>>> from DicomAnalysisLib.reporting.agreement.analysis import analyse
>>> from DicomAnalysisLib.reporting.agreement.pairing import pair_values
>>> paired = pair_values([410, 520, 377, 451], [402, 531, 380, 449], quantity="flow", unit="l/min")
>>> round(analyse(paired).limits.bias.value, 1)
-1.0
"""

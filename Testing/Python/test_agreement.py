"""The statistics of agreement against published worked examples, and what cannot be estimated.

- Shrout PE, Fleiss JL, Psychol Bull 1979;86:420-428: six subjects, four judges (tables 1 to 4).
- Bland JM, Altman DG, Lancet 1986;1:307-310: peak expiratory flow of 17 subjects, two meters, two readings each.
- Lin LI, Biometrics 1989;45:255-268: the coefficient's definition and its factors.
- Odeh RE, Owen DB, Tables for Normal Tolerance Limits (1980): the factor behind the exact intervals.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from DicomAnalysisLib.errors import SourceError, TaskError, UsageError
from DicomAnalysisLib.reporting.agreement.analysis import analyse
from DicomAnalysisLib.reporting.agreement.bland_altman import limits_of_agreement
from DicomAnalysisLib.reporting.agreement.coefficients import concordance, intraclass, mean_squares
from DicomAnalysisLib.reporting.agreement.document import number, rows_of, verdict_text
from DicomAnalysisLib.reporting.agreement.estimate import AgreementOptions
from DicomAnalysisLib.reporting.agreement.pairing import pair_columns, pair_long, pair_values
from DicomAnalysisLib.reporting.agreement.repeatability import repeatability
from DicomAnalysisLib.reporting.agreement.request import TableChoice, pair_table
from DicomAnalysisLib.reporting.agreement.sample_size import sample_size_for_limits
from DicomAnalysisLib.reporting.agreement.tables import number_of, read_table, unit_of
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
"""Shrout and Fleiss 1979, table 2."""

WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
WRIGHT_AGAIN = [490, 397, 512, 401, 470, 611, 415, 431, 638, 429, 420, 633, 275, 492, 165, 372, 421]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
MINI_AGAIN = [525, 415, 508, 444, 500, 625, 460, 390, 642, 432, 420, 605, 227, 467, 268, 370, 443]
"""Bland and Altman 1986, table I; l/min."""

AS_IN_1986 = AgreementOptions(interval="approximate", multiplier=2)


def peak_flow(options=None):
    names = ("Wright", "mini Wright")
    return analyse(pair_values(WRIGHT, MINI, quantity="peak flow", unit="l/min", names=names), options)


def peak_flow_twice(options=None):
    subjects = [str(n) for n in range(17)] * 2
    return analyse(pair_values(WRIGHT + WRIGHT_AGAIN, MINI + MINI_AGAIN, subjects, unit="l/min"), options)


class TestShroutAndFleiss1979:
    def test_analysis_of_variance(self):
        rows, columns, error = mean_squares(JUDGES.astype(float))
        assert (round(rows, 2), round(columns, 2), round(error, 2)) == (11.24, 32.49, 1.02)

    def test_icc_2_1_and_3_1(self):
        found = intraclass(JUDGES)
        assert round(found.agreement.value, 2) == 0.29
        assert round(found.consistency.value, 2) == 0.71

    def test_intervals(self):
        """The paper's method as McGraw and Wong 1996 give it; the same data in R's psych 2.4 (help of ICC)."""
        found = intraclass(JUDGES)
        assert [round(v, 2) for v in (found.agreement.low, found.agreement.high)] == [0.02, 0.76]
        assert [round(v, 2) for v in (found.consistency.low, found.consistency.high)] == [0.34, 0.95]

    def test_a_constant_bias_counts_in_one_of_them_alone(self):
        ratings = np.array([[1.0, 11], [2, 12], [3, 13], [5, 15.5]])
        found = intraclass(ratings)
        assert found.consistency.value > 0.98
        assert found.agreement.value < 0.1


class TestBlandAndAltman1986:
    def test_first_readings(self):
        limits = peak_flow(AS_IN_1986).limits
        assert round(limits.bias.value, 1) == -2.1
        assert round(limits.sd, 1) == 38.8
        # The paper computes with the rounded mean and SD: -2.1 - 2 * 38.8 and -2.1 + 2 * 38.8.
        assert limits.lower.value == pytest.approx(-79.7, abs=0.15)
        assert limits.upper.value == pytest.approx(75.5, abs=0.15)

    def test_intervals(self):
        """Bias -22.0 to 17.8; limits -114.3 to -45.1 and 40.9 to 110.1, with the paper's sqrt(3 / n)."""
        limits = peak_flow(AS_IN_1986).limits
        assert [round(v, 1) for v in (limits.bias.low, limits.bias.high)] == [-22.0, 17.8]
        for one, published in ((limits.lower, (-114.3, -45.1)), (limits.upper, (40.9, 110.1))):
            assert (one.low, one.high) == pytest.approx(published, abs=1.0)

    def test_limits_with_1_96(self):
        """Bland and Altman 1999 on the same data: -78.1 to 73.9."""
        limits = peak_flow().limits
        assert (round(limits.lower.value, 1), round(limits.upper.value, 1)) == (-78.1, 73.9)

    def test_repeatability(self):
        """SD of the differences of repeats 21.6 and 28.2 l/min (within-subject SD times sqrt 2)."""
        wright, mini = peak_flow_twice().repeatability
        assert round(wright.within_sd * math.sqrt(2), 1) == 21.6
        assert round(mini.within_sd * math.sqrt(2), 1) == 28.2
        assert wright.coefficient.value == pytest.approx(1.96 * 21.6469, abs=0.01)
        assert wright.subjects == 17

    def test_means_of_repeats(self):
        """Mean difference -6.0; SD 33.2 of the means becomes 37.7 for single measurements."""
        limits = peak_flow_twice().limits
        assert round(limits.bias.value, 1) == -6.0
        assert round(limits.sd, 1) == 37.7
        assert limits.method == "mover"
        approximate = peak_flow_twice(AgreementOptions(interval="approximate")).limits
        widths = [one.lower.high - one.lower.low for one in (approximate, limits)]
        assert widths[0] == pytest.approx(widths[1], rel=0.1)

    def test_the_same_limits_by_all_three_ways(self):
        ways = [peak_flow(AgreementOptions(interval=name)).limits for name in ("exact", "mover", "approximate")]
        assert len({round(one.upper.value, 9) for one in ways}) == 1
        for one in ways:
            assert one.upper.low < one.upper.value < one.upper.high
            assert one.upper.value - one.lower.value == pytest.approx(2 * 1.959964 * one.sd, rel=1e-6)
        # Exact ones lean outward: a standard deviation is more easily too small than too large.
        exact = ways[0].upper
        assert exact.high - exact.value > exact.value - exact.low


class TestExactIntervals:
    def test_factor_of_the_tables(self):
        """One-sided tolerance factor for 95 % of a population with 95 % confidence, n = 10: 2.911 (Odeh, Owen)."""
        options = AgreementOptions(confidence=0.90, coverage=0.90)
        values = np.random.default_rng(3).normal(size=10)
        limits = limits_of_agreement(values, np.zeros(10), options)
        assert (limits.upper.high - limits.bias.value) / limits.sd == pytest.approx(2.911, abs=5e-4)

    def test_they_hold_what_they_say(self):
        random = np.random.default_rng(5)
        options, z = AgreementOptions(), AgreementOptions().z
        hits = 0
        for _ in range(600):
            upper = limits_of_agreement(random.normal(size=8), np.zeros(8), options).upper
            hits += upper.low <= z <= upper.high
        assert 0.925 <= hits / 600 <= 0.975


class TestLin1989:
    def test_definition_and_factors(self):
        """rho_c is Pearson's r times C_b, with C_b of the scale and location shifts v and u (page 258)."""
        found = concordance(WRIGHT, MINI)
        x, y = np.array(WRIGHT, float), np.array(MINI, float)
        v, u = x.std() / y.std(), (x.mean() - y.mean()) / math.sqrt(x.std() * y.std())
        assert found.accuracy == pytest.approx(2 / (v + 1 / v + u**2))
        assert found.precision == pytest.approx(np.corrcoef(x, y)[0, 1])
        assert found.coefficient.value == pytest.approx(found.precision * found.accuracy)
        assert round(found.coefficient.value, 3) == 0.943
        assert 0.8 < found.coefficient.low < found.coefficient.value < found.coefficient.high < 1

    def test_location_and_scale_shifts_count(self):
        x = np.arange(1.0, 11)
        assert concordance(x, x + 3).precision == pytest.approx(1)
        assert concordance(x, x + 3).coefficient.value == pytest.approx(2 * 8.25 / (2 * 8.25 + 9))
        assert concordance(x, -x + 11).coefficient.value == pytest.approx(-1)

    def test_the_interval_holds_what_it_says(self):
        random = np.random.default_rng(11)
        hits = 0
        for _ in range(400):
            x = random.normal(size=40)
            y = 0.9 * x + math.sqrt(1 - 0.81) * random.normal(size=40) + 0.3
            found = concordance(x, y).coefficient
            hits += found.low <= 2 * 0.9 / (2 + 0.09) <= found.high
        assert 0.92 <= hits / 400 <= 0.98


class TestSampleSize:
    def test_a_hundred_pairs_give_a_third_of_a_standard_deviation(self):
        """Bland and Altman's rule, 1.96 * sqrt(3 / n): 100 pairs give about 0.34 SD."""
        options = AgreementOptions(interval="approximate")
        assert sample_size_for_limits(1.0, 0.34, options) == pytest.approx(100, abs=3)
        assert sample_size_for_limits(1.0, 0.34) == pytest.approx(100, abs=3)

    def test_smallest_number_that_is_enough(self):
        from DicomAnalysisLib.reporting.agreement.bland_altman import half_width

        options = AgreementOptions()
        count = sample_size_for_limits(38.8, 10, options)
        assert half_width(count, options) * 38.8 <= 10 < half_width(count - 1, options) * 38.8

    def test_what_cannot_be_planned(self):
        assert sample_size_for_limits(1.0, 1e-5) is None
        with pytest.raises(UsageError, match="above 0"):
            sample_size_for_limits(0, 1)


class TestOptions:
    def test_ratios(self):
        doubled = pair_values([2, 4.2, 8.1, 15.8, 33], [1, 2, 4, 8, 16])
        found = analyse(doubled, AgreementOptions(log=True, acceptable=3, precision=1.05))
        bias = found.shown(found.limits.bias)
        assert bias.value == pytest.approx(2.03, abs=0.01)
        assert bias.low < bias.value < bias.high
        assert found.verdict == "within"
        assert found.sample_sizes[0][0] == pytest.approx(1.05)
        assert any("values as measured" in note for note in found.notes)

    @pytest.mark.parametrize(("acceptable", "verdict"), [(200, "within"), (60, "inconclusive"), (20, "outside")])
    def test_acceptable_difference(self, acceptable, verdict):
        found = peak_flow(AgreementOptions(acceptable=acceptable))
        assert found.verdict == verdict
        assert f"±{acceptable} l/min" in verdict_text(found)

    @pytest.mark.parametrize(
        "wrong", [{"confidence": 1.0}, {"coverage": 0.2}, {"interval": "best"}, {"acceptable": 0}, {"precision": -1}]
    )
    def test_wrong_ones(self, wrong):
        with pytest.raises(UsageError):
            AgreementOptions(**wrong)

    def test_a_ratio_below_one_is_none(self):
        with pytest.raises(UsageError, match="a ratio above 1"):
            AgreementOptions(log=True, acceptable=0.9)


class TestWhatIsSaid:
    def test_proportional_bias_and_growing_scatter(self):
        random = np.random.default_rng(2)
        truth = np.linspace(10, 100, 60)
        found = analyse(pair_values(truth * 1.2 + truth * random.normal(0, 0.05, 60), truth))
        assert found.limits.slope.low > 0.1
        assert any("changes with the size (slope" in note for note in found.notes)
        assert any("Analyse logarithms" in note for note in found.notes)

    def test_outliers_are_linked_to_their_series(self):
        rows = [
            {"id": f"P{n}", "a": str(n + 0.1 * (-1) ** n), "b": str(n), "series_uid": f"1.2.{n}"} for n in range(1, 30)
        ]
        rows[6]["a"] = "40"
        found = analyse(pair_table(rows, TableChoice(("a", "b"))))
        assert [(one.identifier, one.series_uid) for one in found.outliers] == [("P7", "1.2.7")]
        assert "above the upper limit" in found.outliers[0].reason
        assert any("not normally distributed" in note for note in found.notes)

    def test_rows_name_everything_the_study_reports(self):
        names = [name for name, _one, _unit in rows_of(peak_flow_twice())]
        for word in ("Bias", "Lower limit", "Upper limit", "ICC(2,1)", "ICC(3,1)", "Lin's", "Repeatability"):
            assert any(word in name for name in names), word

    @pytest.mark.parametrize(
        ("value", "text"),
        [(0, "0"), (-2.1176, "\N{MINUS SIGN}2.118"), (1234.56, "1235"), (100.0, "100"), (1e-7, "1e-07")],
    )
    def test_numbers(self, value, text):
        assert number(value) == text


class TestDegenerate:
    def test_fewer_than_three_pairs(self):
        with pytest.raises(TaskError, match="Only 2 pairs"):
            analyse(pair_values([1, 2], [1, 2]))

    def test_no_common_identifier(self):
        rows = [{"id": "A", "x": "1"}, {"id": "B", "x": "2"}], [{"id": "a1", "x": "1"}]
        with pytest.raises(TaskError, match="Are the identifiers the same"):
            analyse(pair_columns(rows[0], ("x", "x"), "id", second_rows=rows[1]))

    def test_constant_columns(self):
        found = analyse(pair_values([5, 5, 5, 5], [5, 5, 5, 5]))
        assert found.limits.sd == 0
        assert not found.icc.agreement.is_known
        assert "do not differ" in found.icc.agreement.reason
        assert "all the same" in found.lin.coefficient.reason
        assert found.sample_sizes == ()
        assert found.outliers == ()
        one = analyse(pair_values([1, 2, 3, 4], [5, 5, 5, 5]))
        assert "second values are all the same" in one.lin.coefficient.reason

    def test_equal_columns(self):
        found = analyse(pair_values([1, 2, 3, 4], [1, 2, 3, 4]))
        assert found.icc.agreement.value == found.icc.consistency.value == 1
        assert found.lin.coefficient.value == pytest.approx(1)
        assert "no interval" in found.lin.coefficient.reason

    def test_constant_difference(self):
        found = analyse(pair_values([2, 3, 4, 5], [1, 2, 3, 4]))
        assert found.limits.bias.value == found.limits.upper.value == 1
        assert found.icc.consistency.value == 1
        assert found.icc.agreement.value < 1

    @pytest.mark.parametrize("scale", [1e-3, 1, 1e6])
    def test_a_constant_difference_that_rounding_blurs(self, scale):
        """0.1 more everywhere is one difference, though 1.37 + 0.1 - 1.37 is not 0.1 to the last bit."""
        second = [round(1 + n * 0.137, 3) * scale for n in range(20)]
        found = analyse(pair_values([value + 0.1 * scale for value in second], second))
        assert found.limits.sd == 0
        assert found.limits.slope_p is None
        assert found.limits.slope.value == pytest.approx(0, abs=1e-12)
        assert (found.outliers, found.sample_sizes) == ((), ())
        assert "All differences are the same" in found.notes[0]

    def test_logarithms_of_nothing(self):
        with pytest.raises(TaskError, match="values above 0"):
            analyse(pair_values([0, 1, 2], [1, 2, 3]), AgreementOptions(log=True))

    def test_nothing_repeated(self):
        assert "nothing was measured twice" in repeatability([(1,), (2,)]).coefficient.reason
        assert "only one subject" in repeatability([(1, 2), (2,)]).coefficient.reason

    @settings(max_examples=40, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # each is some ms of scipy
    @given(
        st.lists(st.tuples(*[st.floats(-1e6, 1e6, allow_subnormal=False)] * 2), min_size=3, max_size=12),
        st.sampled_from(["exact", "mover", "approximate"]),
    )
    def test_any_numbers_give_estimates_or_reasons(self, pairs, interval):
        found = analyse(pair_values(*map(list, zip(*pairs, strict=True))), AgreementOptions(interval=interval))
        for name, one, _unit in rows_of(found):
            assert (one.value is None) == one.reason.startswith("not estimable"), name
            if one.low is not None:
                room = 1e-9 * max(1.0, abs(one.value))
                assert one.low - room <= one.value <= one.high + room, name
        assert not found.icc.agreement.is_known or found.icc.agreement.value <= 1

    @settings(max_examples=15)
    @given(st.floats(0.1, 10), st.floats(-100, 100))
    def test_units_and_offsets_do_not_matter(self, factor, offset):
        moved = [value * factor + offset for value in WRIGHT], [value * factor + offset for value in MINI]
        found, before = analyse(pair_values(*moved)), peak_flow()
        assert found.icc.agreement.value == pytest.approx(before.icc.agreement.value, abs=1e-9)
        assert found.lin.coefficient.low == pytest.approx(before.lin.coefficient.low, abs=1e-6)
        assert found.limits.upper.high == pytest.approx(before.limits.upper.high * factor, rel=1e-6)


class TestTables:
    def write(self, folder, text, name="table.csv", encoding="utf-8"):
        path = folder / name
        path.write_bytes(text.encode(encoding))
        return path

    def test_semicolons_decimal_commas_and_byte_order_mark(self, tmp_path):
        rows = read_table(self.write(tmp_path, "\ufeffid;a (mm);b (mm)\r\n1;2,5;2.75\r\n\r\n2;3;x\r\n"))
        paired = pair_columns(rows, ("a (mm)", "b (mm)"), "id")
        assert paired.pairs[0].first == (2.5,)
        assert paired.pairs[0].second == (2.75,)
        assert paired.unit == "mm"
        assert paired.names == ("a", "b")
        assert paired.left_out == ("b, 2: 'x' is not a number",)

    def test_missing_values_are_listed_not_computed_with(self):
        rows = [{"id": str(n), "a": text, "b": "1"} for n, text in enumerate(["1", "", "NaN", "n/a", "inf", "2", "3"])]
        paired = pair_columns(rows, ("a", "b"), "id")
        assert [pair.identifier for pair in paired.pairs] == ["0", "5", "6"]
        assert len(paired.left_out) == 4
        assert "not a finite number" in paired.left_out[3]
        assert set(paired.unmatched_second) == {"1", "2", "3", "4"}

    def test_repeats_and_unmatched(self):
        rows = [{"id": key, "a": "1", "b": "2"} for key in ("A", "B", "A")]
        other = [{"id": key, "b": "2"} for key in ("A", "C")]
        paired = pair_columns(rows, ("a", "b"), "id", second_rows=other)
        assert [(pair.identifier, pair.first, pair.second) for pair in paired.pairs] == [("A", (1, 1), (2,))]
        assert (paired.unmatched_first, paired.unmatched_second) == (("B",), ("C",))
        assert "taken as repeats" in paired.notes[0]

    def test_an_identifier_that_is_not_a_number_is_missing(self):
        """As pandas writes a missing one as text."""
        rows = [{"id": key, "a": "1", "b": "2"} for key in ("A", "nan", "NaN")]
        paired = pair_columns(rows, ("a", "b"), "id")
        assert [pair.identifier for pair in paired.pairs] == ["A"]
        assert len(paired.left_out) == 4

    def test_units_must_agree(self):
        rows = [{"id": "1", "first (mm)": "1", "second (cm)": "2"}]
        with pytest.raises(UsageError, match="different units, mm and cm"):
            pair_columns(rows, ("first (mm)", "second (cm)"), "id")
        assert unit_of("volume [mL]") == unit_of("volume (cm³)") == "ml"

    def test_a_row_for_each_measurement(self):
        rows = [
            {"case": case, "rater": rater, "diameter (mm)": str(value)}
            for case, rater, value in [("1", "A", 48), ("1", "B", 49), ("2", "A", 50), ("2", "B", 50), ("3", "A", 51)]
        ]
        paired = pair_long(rows, "case", "rater", "diameter (mm)")
        assert paired.names == ("A", "B")
        assert paired.unmatched_first == ("3",)
        assert paired.unit == "mm"
        with pytest.raises(UsageError, match="it has: A, B"):
            pair_long(rows, "case", "rater", "diameter (mm)", ("A", "C"))

    @pytest.mark.parametrize(
        ("text", "message"), [("", "no measurements"), ("a,b\n", "no measurements"), ("a,a\n1,2\n", "stands twice")]
    )
    def test_what_is_no_table(self, tmp_path, text, message):
        with pytest.raises(SourceError, match=message):
            read_table(self.write(tmp_path, text))

    def test_a_decimal_comma_that_parts_a_cell_is_refused(self, tmp_path):
        """Else 12,5 and 13,1 would be read as 12 and 5."""
        with pytest.raises(SourceError, match=r"row 3 .* has 5 cells and the header 3"):
            read_table(self.write(tmp_path, "case,a,b\n1,12.5,13.1\n2,12,5,13,1\n"))
        assert read_table(self.write(tmp_path, "case,a,b\n1,2,3,,\n2,4\n"))[1] == {"case": "2", "a": "4", "b": ""}

    def test_not_text(self, tmp_path):
        path = tmp_path / "x.csv"
        path.write_bytes(b"\xff\xfe\x00\x81")
        with pytest.raises(SourceError, match="UTF-8"):
            read_table(path)
        with pytest.raises(SourceError, match="cannot be read"):
            read_table(tmp_path / "none.csv")

    def test_columns_that_are_not_there(self):
        with pytest.raises(UsageError, match="There is no column 'z'; the table has: a, b"):
            pair_columns([{"a": "1", "b": "2"}], ("a", "z"))
        with pytest.raises(UsageError, match="cannot be compared with itself"):
            pair_columns([{"a": "1", "b": "2"}], ("a", "a"))

    @given(st.text(max_size=12))
    def test_any_cell_is_a_number_or_says_why_not(self, text):
        try:
            assert math.isfinite(number_of(text))
        except ValueError as error:
            assert "value" in str(error) or "number" in str(error)

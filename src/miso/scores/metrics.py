"""The metrics by name: what each one is, who published it, and the function that takes it, gene by gene.

Every score is per gene over the spots of one section, and NaN where it is undefined; `docs/metrics.md` lists
them. Another package adds one by an entry point in `miso.metrics`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from miso.registry import Registry
from miso.scores.auc import auc_above
from miso.scores.by_gene import ByGene, Score, score_together
from miso.scores.columns import Measured, PerGene, Spots
from miso.scores.correlation import mean_pearson, pearson, spearman
from miso.scores.distance import mae, nrmse_range, nrmse_sd, rmse
from miso.scores.distribution import jensen_shannon, mutual_information
from miso.scores.ssim import ssim

__all__ = ["Metric", "PerGene", "Spots", "mean_pearson", "metrics", "pearson", "rmse", "score_all"]

BENCHMARK = "Wang C. et al., Nature Communications 2025"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One way to score a prediction.

    Attributes
    ----------
    better
        Whether high or low values are good.
    definition, undefined, source
        What it is and when it is NaN, a sentence each, and where it was published.
    score
        Takes (predicted, measured), each spot × gene, and returns a value a gene.
    on
        What the measured side is: the prediction's own target, or counts of molecules.
    """

    name: str
    better: Literal["high", "low"]
    definition: str
    undefined: str
    source: str
    score: Score
    on: Literal["target", "counts"] = "target"


metrics: Registry[Metric] = Registry("metric", "miso.metrics")


def score_all(predicted: Spots, sides: Mapping[str, Measured]) -> dict[str, PerGene]:
    """Take every metric of a prediction that is on one of the sides, by name; faster than one by one.

    Parameters
    ----------
    sides
        What was measured, by what it is (`Metric.on`).
    """
    taken = [metric for name in metrics if (metric := metrics[name]).on in sides]
    together = {m.name: (m.on, m.score) for m in taken if isinstance(m.score, ByGene)}
    found = score_together(predicted, sides, together)
    return {
        m.name: found[m.name] if m.name in found else m.score(predicted, sides[m.on].values) for m in taken
    }


def _file(metric: Metric) -> None:
    metrics.register(metric.name)(metric)


_EITHER = "Either side is constant (differs by less than a millionth of its largest value)."
_MEASURED = "The measured side is constant."
_NEVER = "Never, if both sides are finite."

_file(
    Metric(
        name="pearson",
        better="high",
        definition="Pearson's r of predicted and measured values over the spots.",
        undefined=_EITHER,
        source=f"Pearson 1895; {BENCHMARK} (PCC)",
        score=pearson,
    )
)
_file(
    Metric(
        name="spearman",
        better="high",
        definition="Pearson's r of the ranks, equal values at their mean rank.",
        undefined=_EITHER,
        source=f"Spearman, American Journal of Psychology 1904; {BENCHMARK}",
        score=spearman,
    )
)
_file(
    Metric(
        name="rmse",
        better="low",
        definition="Square root of the mean squared difference, in the target's units.",
        undefined=_NEVER,
        source=BENCHMARK,
        score=rmse,
    )
)
_file(
    Metric(
        name="nrmse_range",
        better="low",
        definition="RMSE divided by the range (largest − smallest) of the measured values.",
        undefined=_MEASURED,
        source=f"{BENCHMARK} (NRMSE)",
        score=nrmse_range,
    )
)
_file(
    Metric(
        name="nrmse_sd",
        better="low",
        definition="RMSE divided by the standard deviation (n − 1) of the measured values.",
        undefined=_MEASURED,
        source=f"{BENCHMARK}, its published scripts",
        score=nrmse_sd,
    )
)
_file(
    Metric(
        name="mae",
        better="low",
        definition="Mean absolute difference, in the target's units.",
        undefined=_NEVER,
        source="Willmott and Matsuura, Climate Research 2005",
        score=mae,
    )
)
_file(
    Metric(
        name="ssim",
        better="high",
        definition="Structural similarity over all spots as one window, each side cut into 256 grey levels "
        "between its own extremes.",
        undefined=_EITHER,
        source=f"Wang Z. et al., IEEE Transactions on Image Processing 2004; {BENCHMARK} (SSIM)",
        score=ssim,
    )
)
_file(
    Metric(
        name="jensen_shannon",
        better="low",
        definition="Jensen–Shannon divergence, in bits, of the two sides as distributions over the spots "
        "(negative predictions are 0, then each side is divided by its sum).",
        undefined="A side sums to 0, or the measured side goes below 0.",
        source=f"Lin, IEEE Transactions on Information Theory 1991; {BENCHMARK} (JS-Div)",
        score=jensen_shannon,
    )
)
_file(
    Metric(
        name="mutual_information",
        better="high",
        definition="Mutual information of the two sides in max(10, ∛n) bins of equally many spots, "
        "divided by the geometric mean of their entropies.",
        undefined="Either side is constant, or its ties fill a single bin.",
        source=f"Strehl and Ghosh, Journal of Machine Learning Research 2002; {BENCHMARK} (MI)",
        score=mutual_information,
    )
)
for _threshold in (0, 1, 3):
    _file(
        Metric(
            name=f"auc_{_threshold}",
            better="high",
            definition="Area under the ROC curve of the prediction, for spots with more than "
            f"{_threshold} molecule{'s' * (_threshold != 1)} of the gene.",
            undefined=f"All spots, or none, have more than {_threshold}.",
            source=f"Hanley and McNeil, Radiology 1982; {BENCHMARK} (AUC, at 0, 1, 2, 5, 7, 10, 20)",
            score=auc_above(_threshold),
            on="counts",
        )
    )

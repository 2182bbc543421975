"""A synthetic cohort with a known answer, for tests, documentation and the demo."""

from miso.phantom.cohort import Section, make_section
from miso.phantom.spec import PhantomSpec
from miso.phantom.truth import Truth, open_truth
from miso.phantom.write import write_her2st, write_phantom

__all__ = [
    "PhantomSpec",
    "Section",
    "Truth",
    "make_section",
    "open_truth",
    "write_her2st",
    "write_phantom",
]

"""Which encoders make the features that a model wants, by their ids."""

import pytest

from miso.models.encoder_id import known_dims, licence_of, name_and_revision, same_encoder, without_folder


@pytest.mark.parametrize(
    ("found", "wanted", "same"),
    [
        ("stain@1", "stain@1", True),
        ("stain@2", "stain@1", False),
        ("phikon@abc", "phikon-v2@abc", False),
        ("hf:/a/uni@sha256:12", "hf:/b/uni@sha256:12", True),
        ("hf:/a/uni@sha256:12", "hf:/a/uni@sha256:13", False),
        ("uni:/a@sha256:12", "hf:/a@sha256:12", False),  # the same weights, perhaps pooled otherwise
        ("hf:o/m@main", "hf:o/n@main", False),
        ("hf:/a@sha256:12+int8", "hf:/a@sha256:12", False),
        ("h0-mini@abc", "h0-mini", True),
        ("h0-mini:/a@sha256:12", "h0-mini", True),
        ("h0-mini@abc+int8", "h0-mini", False),
        ("uni@abc", "h0-mini", False),
        ("h0-mini", "h0-mini@abc", False),
    ],
)
def test_features_are_the_same_where_the_weights_are_known_to_be(found: str, wanted: str, same: bool) -> None:
    assert same_encoder(found, wanted) is same


def test_an_id_is_a_name_and_a_revision_that_may_be_unknown() -> None:
    assert name_and_revision("hf:o/m@abc") == ("hf:o/m", "abc")
    assert name_and_revision("h0-mini") == ("h0-mini", "")


def test_a_local_folder_is_left_out_and_the_features_stay_the_same() -> None:
    shared = without_folder("hf:/home/jane/weights/uni@sha256:12")
    assert shared == "hf:uni@sha256:12"
    assert same_encoder("hf:/home/jane/weights/uni@sha256:12", shared)
    assert without_folder("hf:owner/model@0123abc") == "hf:owner/model@0123abc"
    assert without_folder("stain@1") == "stain@1"


def test_what_is_known_of_named_encoders() -> None:
    assert known_dims("h0-mini") == (768, 768)
    assert known_dims("virchow2:/folder@sha256:1") == (2560, 1280)
    assert known_dims("hf:owner/model@abc") is None
    assert licence_of("stain@1").startswith("Apache-2.0")
    assert licence_of("uni2-h@abc") == "CC-BY-NC-ND-4.0"
    assert licence_of("hf:owner/model@abc") == "see its own page"

"""The page of facts says of every encoder where they were read and what checks it, as the tests are now."""

from website.encoder_facts import ENCODER_FACTS, ENCODERS, checks_of, encoder_tests

UNTRIED = {"conch_v1", "musk", "keep"}
"""Whose makers' packages are not here: nobody but the makers can run them."""


def test_the_page_is_made_of_the_declarations_and_the_tests():
    page = ENCODER_FACTS.text()
    assert page == ENCODER_FACTS.updated(), "run 'make options'"
    assert all(f"| `{encoder.name}` |" in page for encoder in ENCODERS)


def test_every_encoder_is_checked_by_more_than_its_declaration():
    tests = encoder_tests()
    alone = {encoder.name for encoder in ENCODERS if checks_of(encoder, tests) == "the declaration alone"}
    assert alone == UNTRIED

from pipeline.mementos.view import BlockView


def view(before: list[str]) -> BlockView:
    return BlockView(0, "t1", len(before), "p", before, [100] * len(before), "The block itself.", 100)


def test_a_block_stands_after_what_was_before_it():
    shown = view(["One. ", "Two. "])
    assert shown.reasoning(1000) == "One. Two. The block itself."
    assert shown.start_words(shown.reasoning(1000)) == "The block itself."


def test_the_earliest_is_left_out_where_not_all_fits():
    assert view(["One. ", "Two. ", "Three. "]).reasoning(310) == "Three. The block itself."


def test_the_block_is_always_whole():
    shown = view(["One. "])
    assert shown.reasoning(10) == "The block itself."
    assert shown.start_words("The block itself.") == ""

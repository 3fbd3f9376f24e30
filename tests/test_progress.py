"""Progress: one output in a notebook, which ends as one line; rich's bar elsewhere."""

import sys
from types import SimpleNamespace

import pytest
import rich.console

from bayeslmm.design.progress import NotebookBar, progress_bar
from bayeslmm.graph.progress import sampler_progress
from bayeslmm.reml.chunks import with_bar


@pytest.fixture
def shown(monkeypatch):
    """What a notebook is shown: each message, the first made, the others replaced."""
    messages = []

    class Handle:
        def update(self, bundle, *, raw):
            assert raw
            messages.append(("replaced", bundle))

    def display(bundle, *, raw, display_id):
        assert raw
        assert display_id is True
        messages.append(("made", bundle))
        return Handle()

    fake = SimpleNamespace(display=display)
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setattr("bayeslmm.design.progress.REFRESH", 0.0)
    return messages


def test_a_bar_in_a_notebook_is_one_output_and_ends_as_a_line(shown, capfd):
    found = list(with_bar(iter("abcd"), 4, True, "rows <left> out"))
    assert found == list("abcd")
    assert [kind for kind, _ in shown] == ["made"] + ["replaced"] * (len(shown) - 1)
    assert len(shown) == 5
    for _, bundle in shown[:-1]:
        assert "<progress" in bundle["text/html"]
        assert "rows &lt;left&gt; out" in bundle["text/html"]
    last = shown[-1][1]
    assert "<progress" not in last["text/html"]
    assert last["text/plain"] == "rows <left> out: 100%"
    assert "color" not in last["text/html"]
    assert capfd.readouterr() == ("", "")


def test_a_bar_in_a_notebook_is_not_drawn_faster_than_it_is_seen(shown, monkeypatch):
    monkeypatch.setattr("bayeslmm.design.progress.REFRESH", 3600.0)
    bar = NotebookBar("Reading", 1_000_000, "rows")
    bar.shown = -1e9
    for done in range(1000):
        bar.advance(done)
    bar.end()
    assert len(shown) == 2
    assert shown[-1][1]["text/plain"] == "Reading: 999 of 1,000,000 rows"


def test_what_was_interrupted_ends_as_a_line_too(shown):
    def interrupted():
        yield 1
        yield 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(with_bar(interrupted(), 4, True, "data sets"))
    assert shown[-1][1]["text/plain"] == "data sets: 50%"
    assert "<progress" not in shown[-1][1]["text/html"]


def test_a_bar_without_an_end_says_what_is_done(shown):
    with progress_bar("Reading", None, unit="rows") as advance:
        advance(70)
    assert shown[0][1]["text/html"].count("value=") == 0
    assert shown[-1][1]["text/plain"] == "Reading: 70 rows"


def test_nothing_is_shown_where_nothing_was_done(shown):
    with progress_bar("Reading", 5):
        pass
    assert shown == []


def test_the_time_left_is_what_the_rest_takes_at_the_same_rate():
    bar = NotebookBar("x", 100, "rows", done=25, started=0.0)
    assert bar._left(10.0) == "30 s left"
    assert bar._left(100.0) == "5 min left"
    assert NotebookBar("x", 100, "rows", done=100, started=0.0)._left(9.0) == ""
    assert NotebookBar("x", None, "rows", done=3, started=0.0)._left(9.0) == ""


def test_the_sampler_has_our_bar_in_a_notebook_alone(shown, monkeypatch):
    with sampler_progress(True, chains=2, draws=600) as options:
        assert options["progress_bar"] is False
        chain = SimpleNamespace(finished_draws=300)
        options["progress_callback"]([chain, chain])
    assert shown[-1][1]["text/plain"] == "Sampling, 2 chains: 600 of 1,200 draws"
    with sampler_progress(False, chains=2, draws=600) as options:
        assert options == {"progress_bar": False}
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: False)
    with sampler_progress(True, chains=2, draws=600) as options:
        assert options == {"progress_bar": True}
    assert len(shown) == 2


def test_elsewhere_a_bar_is_shown_if_it_is_asked_for(capfd):
    assert list(with_bar(iter("ab"), 2, True, "data sets")) == ["a", "b"]
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "data sets" in err
    assert "100%" in err
    assert "\x1b" not in err
    assert list(with_bar(iter("ab"), 2, False, "data sets")) == ["a", "b"]
    assert capfd.readouterr() == ("", "")


CELLS = (
    "import bayeslmm as lmm\n"
    "data = lmm.simulate_classrooms(12, 20, seed=4).data\n"
    "model = lmm.Model('score ~ edu + (edu | classroom)', data)\n"
    "reml = model.fit_reml()",
    "reml.confint(method='boot', nsim=100, seed=1, progress=True); None",
    "lmm.power(reml, effect='edu', nsim=60, seed=1, progress=True); None",
    "model.sample(draws=100, chains=2, seed=1, method='nuts', progress=True); None",
)


@pytest.mark.notebook
@pytest.mark.filterwarnings("ignore:::jupyter_client")  # third-party, while it starts
def test_a_notebook_keeps_one_line_of_each_bar():
    import nbclient
    import nbformat

    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    nbclient.NotebookClient(book, timeout=200).execute()
    for cell in book.cells[1:]:
        (output,) = (o for o in cell.outputs if o.output_type != "stream")
        assert set(output.data) == {"text/plain", "text/html"}
        assert "\n" not in output.data["text/plain"]
        assert "<progress" not in output.data["text/html"]
        done, _, whole = output.data["text/plain"].rpartition(": ")[2].partition(" of ")
        assert done == "100%" or whole == f"{done} draws"

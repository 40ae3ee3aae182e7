"""A service is asked from the lab."""

import pytest

from recbench.widgets.live import service_form


def test_without_a_release_the_next_command_is_told(registry):
    assert "recbench run" in service_form(registry).below.value


def test_where_nothing_answers_it_says_how_to_start_it(registry, two_releases):
    form = service_form(registry, address="127.0.0.1:9")
    # user 2 of the toy clicked last
    assert "curl -s 127.0.0.1:9/recommend -d" in form.below.value
    assert "`recbench serve --port 9`, and ask again" in form.below.value


@pytest.mark.slow
def test_a_service_answers_with_titles(serve, tmp_path):
    from recbench.refresh import Registry

    service = serve()
    form = service_form(Registry(tmp_path / "registry"), address=f"127.0.0.1:{service.port}", k=3)
    assert "items from release" in form.below.value
    form.dials["user"].value = "nobody"
    assert "A whole number is needed for the user" in form.below.value

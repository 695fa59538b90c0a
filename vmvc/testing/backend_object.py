"""A backend's object -> a test for what it promises before there is an instance."""

from __future__ import annotations

import pytest

from vmvc.contract import Isolation, Preparation, Severity
from vmvc.errors import Unavailable
from vmvc.testing.lives import Lives
from vmvc.testing.plugin import NAME, check_facts, check_findings, check_options, check_pickle, check_sentence


class ObjectTests(Lives):
    """The object: what it says, what it finds, what it prepares."""

    def test_it_says_what_it_is(self) -> None:
        backend = self.backend()
        assert NAME.fullmatch(backend.kind)
        assert isinstance(backend.isolation, Isolation)
        check_sentence(backend.says)
        assert isinstance(backend.options, backend.options_model)
        check_options(backend.options)

    def test_it_travels_to_another_process_before_use(self) -> None:
        check_pickle(self.backend())

    def test_check_finds_that_it_runs_here(self) -> None:
        backend = self.backend()
        findings = backend.check()
        check_findings(findings)
        assert not [finding for finding in findings if finding.severity is Severity.ERROR]
        assert [finding.code for finding in backend.check()] == [finding.code for finding in findings]
        backend.close()

    def test_describe_gives_facts(self) -> None:
        backend = self.backend()
        check_facts(backend.describe())
        backend.close()

    def test_prepare_twice_gives_the_same(self) -> None:
        backend = self.backend()
        first, second = backend.prepare(self.guest()), backend.prepare(self.guest())
        assert isinstance(first, Preparation)
        check_facts(first.facts)
        check_findings(first.findings)
        assert dict(second.facts) == dict(first.facts)
        backend.close()

    def test_close_does_not_end_it(self) -> None:
        backend = self.backend()
        backend.close()
        facts = backend.describe()
        backend.close()
        assert backend.describe() == facts
        backend.close()

    def test_an_image_that_was_removed_comes_back(self) -> None:
        backend, guest = self.backend(), self.forgettable()
        facts = backend.prepare(guest).facts
        if not self.has_forget:
            with pytest.raises(Unavailable):
                backend.forget(guest)
            backend.close()
            return
        backend.forget(guest)
        backend.forget(guest)
        backend.fetch(guest)
        with self._instance(prepared=(backend, guest)) as (_, instance):
            self._bring_up(instance)
        assert backend.prepare(guest).facts.keys() == facts.keys()
        backend.forget(guest)
        backend.close()

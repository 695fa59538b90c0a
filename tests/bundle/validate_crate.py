"""A bundle -> what roc-validator finds, as JSON on stdout; run by the Python of `.venv/validators`.

The two JSON-LD contexts come from here, so that nothing is fetched: each term that vmvc writes, and no other,
with the address that RO-Crate 1.1 and the terms of workflow runs give it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from requests import Request
from requests_cache import CachedResponse, CachedSession
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings

SCHEMA = "http://schema.org/"
RUNS = "https://w3id.org/ro/terms/workflow-run#"
CRATE = {
    **{
        name: SCHEMA + name
        for name in [
            *("Dataset", "CreativeWork", "CreateAction", "Person", "SoftwareApplication"),
            *("about", "actionStatus", "agent", "author", "contentSize", "datePublished", "description"),
            *("encodingFormat", "endTime", "error", "hasPart", "identifier", "instrument", "license"),
            *("mentions", "name", "object", "result", "softwareRequirements", "softwareVersion"),
            *("startTime", "url", "version"),
        ]
    },
    "File": SCHEMA + "MediaObject",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
}
TERMS = {name: RUNS + name for name in ("ContainerImage", "containerImage", "registry", "tag", "sha256")} | {
    "additionalType": SCHEMA + "additionalType"
}
CONTEXTS = {
    "https://w3id.org/ro/crate/1.1/context": CRATE,
    "https://w3id.org/ro/terms/workflow-run/context": TERMS,
}


def main() -> None:
    bundle, level = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        cache = str(Path(scratch) / "cache")
        _fill(cache)
        result = services.validate(
            ValidationSettings(
                rocrate_uri=bundle,
                profile_identifier="process-run-crate-0.5",
                requirement_severity=Severity[level],
                cache_path=cache,
                offline=True,
            )
        )
        issues = [
            {"check": one.check.identifier, "severity": one.severity.name, "says": one.message}
            for one in result.get_issues()
        ]
        checks = sorted(one.identifier for one in result.executed_checks)
        print(json.dumps({"checks": checks, "issues": issues}))


def _fill(cache: str) -> None:
    with CachedSession(cache_name=cache, backend="sqlite", expire_after=-1) as session:
        for url, terms in CONTEXTS.items():
            request = session.prepare_request(Request("GET", url))
            kept = CachedResponse(content=json.dumps({"@context": terms}).encode(), url=url, status_code=200)
            kept.headers["Content-Type"] = "application/ld+json"
            session.cache.save_response(kept, cache_key=session.cache.create_key(request))


main()

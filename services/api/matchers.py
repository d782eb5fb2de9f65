"""Label matchers as clients send them: in parts, or written as Alertmanager does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from services.api.messages import MATCHER
from services.api.parameters import Parameter
from shared.alerting.expressions import problem
from shared.alerting.matching import NAME, matches, parts
from shared.schemas.control import Matcher

MOST = 50


class MatcherBody(BaseModel):
    """All of a silence's matchers must hold. May also be written: `severity="critical"`, `host=~"web-.*"`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=f"^{NAME}$")]
    value: Annotated[str, Field(max_length=1024)]
    is_regex: bool = False
    is_equal: bool = True

    @model_validator(mode="after")
    def _in_time(self) -> MatcherBody:
        if self.is_regex and (why := problem(self.value)):
            raise ValueError(f"the value {why}")
        return self

    def matcher(self) -> Matcher:
        return Matcher(**self.model_dump())


def _in_parts(value: Any) -> Any:
    return parts(value) if isinstance(value, str) else value


Matchers = Annotated[list[Annotated[MatcherBody, BeforeValidator(_in_parts)]], Field(min_length=1, max_length=MOST)]
AnyMatchers = Annotated[list[Annotated[MatcherBody, BeforeValidator(_in_parts)]], Field(max_length=MOST)]


def all_of(bodies: Iterable[MatcherBody]) -> list[Matcher]:
    return [body.matcher() for body in bodies]


def mean_everything(matchers: Iterable[Matcher]) -> bool:
    """Whether they hold for an alert without any labels, and so for nearly all."""
    return matches(matchers, {})


def in_force(kept: Iterable[Mapping[str, Any]]) -> list[Matcher]:
    """Matchers as a decision keeps them."""
    return [Matcher.model_validate(one) for one in kept]


def _read(text: str, _: int) -> Matcher:
    return MatcherBody(**parts(text)).matcher()


def parameter(name: str, description: str) -> Parameter[Any]:
    """One matcher, written."""
    return Parameter(name, description, MATCHER, _read, default=None, schema={"type": "string"})

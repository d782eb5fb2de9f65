"""``POST /api/system/detect_overload/``: judge a series that the caller brings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api import overload, shapes
from services.api.ask import Ask
from services.api.responses import ok
from services.api.route import Route

MODEL_HEADER = "Lapwing-Model"
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]


class OverloadQuestion(BaseModel):
    """``threshold``: a value for method threshold (80), standard deviations for method sigma (3), else nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)

    data: Annotated[list[Number], Field(max_length=100_000)]
    method: Literal["threshold", "sigma", "svm", "forest"] = "threshold"
    threshold: Number | None = None


async def detect_overload(ask: Ask) -> Response:
    ask.query()
    question = await ask.body(OverloadQuestion)
    if question.method == "threshold":
        found = overload.above(question.data, overload.PERCENT if question.threshold is None else question.threshold)
    elif question.method == "sigma":
        found = overload.sigma(question.data, overload.SIGMAS if question.threshold is None else question.threshold)
    else:
        judged = await ask.deps.learned.judge(question.method, question.data)
        answer = ok({"overload": judged.overload}, ask.language)
        answer.headers[MODEL_HEADER] = judged.model
        return answer
    return ok({"overload": found}, ask.language)


ROUTES = [
    Route(
        "POST",
        "/api/system/detect_overload/",
        detect_overload,
        "read",
        "Say which values of a series are overload",
        "detection",
        data=shapes.Overload,
        example={"overload": [0, 0, 1]},
        body=OverloadQuestion,
        body_example={"data": [12.0, 35.5, 97.0], "method": "threshold", "threshold": 80},
        description="`threshold`: greater than `threshold` (default 80). `sigma`: more than `threshold` standard "
        "deviations (default 3) above the mean. `svm` and `forest`: what the model says that `lapwing train` has put "
        "into use, or else the shipped one; `threshold` means nothing to them, and the header `Lapwing-Model` says it.",
    )
]

"""What the model is asked to answer, where the answer is not plain text."""

from typing import Annotated, Any

from annotated_types import Le
from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

BOUNDARY_SCORES = ("0", "1", "2", "3")


class Verdict(BaseModel):
    """The judge's points for one memento, 10 at most, and what to put right.

    The bounds are the rubric of arXiv 2604.09852 (design section 2). The total is added up here: a model
    that is asked for a sum gives one that does not match its parts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    formulas: Annotated[int, Field(ge=0, le=3)]
    values: Annotated[int, Field(ge=0, le=2)]
    methods: Annotated[int, Field(ge=0, le=2)]
    validation: Annotated[int, Field(ge=0, le=1)]
    only_confirmed: Annotated[int, Field(ge=0, le=1)]
    result_first: Annotated[int, Field(ge=0, le=1)]
    missing: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=160)]],
        Field(max_length=4),
    ]

    @property
    def total(self) -> int:
        """Points of 10."""
        return sum(self.points.values())

    @property
    def points(self) -> dict[str, int]:
        """Points by criterion."""
        points: dict[str, int] = self.model_dump(exclude={"missing"})
        return points

    @classmethod
    def most_points(cls) -> dict[str, int]:
        """Points possible by criterion."""
        return {name: _most(field) for name, field in cls.model_fields.items() if name != "missing"}


def _most(field: FieldInfo) -> int:
    """The upper bound of a criterion's field."""
    most: Any = next(bound.le for bound in field.metadata if isinstance(bound, Le))
    return int(most)

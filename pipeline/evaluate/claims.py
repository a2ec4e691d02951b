"""What an evaluation has to show: claims, told with its results; where one fails, so does the command."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluate.config import Claim
from pipeline.evaluate.register_machine import left_out


@dataclass(frozen=True)
class Checked:
    """A claim and what was seen of it: so many right of so many responses."""

    claim: Claim
    right: int
    responses: int

    @property
    def holds(self) -> bool:
        """Whether the share lies between the claim's bounds; of no response nothing can be claimed."""
        if not self.responses:
            return False
        share = self.right / self.responses
        return self.claim.at_least <= share <= self.claim.at_most

    def __str__(self) -> str:
        claim = self.claim
        where = f", {claim.task}" if claim.task is not None else ""
        where += (
            f", mementos that leave out a register: {claim.left_out}" if claim.left_out is not None else ""
        )
        bounds = [f"at least {100 * claim.at_least:g}%"] if claim.at_least > 0 else []
        bounds += [f"at most {100 * claim.at_most:g}%"] if claim.at_most < 1 else []
        seen = f"{self.right:,} of {self.responses:,} right"
        seen += f" ({self.right / self.responses:.1%})" if self.responses else ""
        verb = "holds" if self.holds else "DOES NOT HOLD"
        return f"{verb}: {claim.model}, {claim.mode}{where}: {seen}, claimed {' and '.join(bounds)}"


def checked(claims: Sequence[Claim], table: pa.Table) -> list[Checked]:
    """What the responses (columns model, mode, task, response, fault) say of each claim."""
    found = []
    for claim in claims:
        about = pc.and_(pc.equal(table["model"], claim.model), pc.equal(table["mode"], str(claim.mode)))
        if claim.task is not None:
            about = pc.and_(about, pc.equal(table["task"], claim.task))
        rows = table.filter(about).select(["response", "fault"]).to_pylist()
        if claim.left_out is not None:
            rows = [row for row in rows if left_out(row["response"]) == claim.left_out]
        found.append(Checked(claim, sum(not row["fault"] for row in rows), len(rows)))
    return found

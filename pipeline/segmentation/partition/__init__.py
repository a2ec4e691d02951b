"""Where blocks begin and end: the exact optimum of the paper's objective, found on convex hulls.

A stage per trace (`stage.py`) gives `partition.py` the scores of n-1 boundaries and the tokens of n
sentences; it answers with the ends of the blocks. `limits.py` says which runs of sentences may be a block,
`objective.py` what a partition is worth, `sweep.py` finds the best partitions for one price, `hull.py` the
prices worth asking for. These loops are compiled by numba (`compiled.py`): 5,000 sentences have 10^300
partitions, and Python would take minutes for what takes half a second. `warm_up.py` compiles them before a
run, so that somebody hears what the wait is for.

Why hull points suffice. The total L of the tokens is given, so for a fixed K the mean is L/K
and the objective is f(S, Q) = S/K - weight · √(K·Q/L² - 1), where S is the sum of the cut
scores and Q that of the squared block sizes. f rises with S and falls with Q, and is convex,
as √ is concave. A convex function on a finite set of points has its maximum at a vertex of
their convex hull, and since f rises with S and falls with Q, at one that maximises S - p·Q
for some price p in [0, ∞], the ends standing for "most S, then least Q" and the reverse.

Finding one. S - p·Q is the worth of a path of K edges, where the edge j → i is worth
score(i) - p·(T(i) - T(j))² with T the tokens before a boundary. For a < b < c < d the edges
a → c and b → d are together worth at least as much as a → d and b → c, the square being
convex, and they keep the limits where those do, their sizes lying between. Hence of two
starts of a block the later one, once it is better, stays better as the end moves on, and one
pass over the boundaries adds a block (`sweep.sweep`): one sweep answers for every K. It
follows too that of the partitions that tie for a price one has every cut earliest.

Finding the best. The answer (S', Q') to a price p is a point of the hull, and no point lies
above the line S = S' + p·(Q - Q'). So between neighbouring answers all points lie in the
triangle of the two and the crossing of their lines; f is convex, so its value at the crossing
bounds whatever hides there. While some bound reaches the best value known, one of them is
looked into, with the slope of the triangle's base as the price: that yields a new vertex or
shows the base to be an edge of the hull, so it ends, whichever is taken. All K share the
sweeps, and a K whose bounds are all below the best is never looked at again.

Most K are not looked at twice. The price 0 gives the most S that K blocks can have, and no sizes have
less Q than even ones, L²/K. Since f rises with S and falls with Q, f of these two bounds all partitions
into K blocks, and the largest K of a sweep is the largest whose bound reaches the best value known.

Token sums are exact integers and all else is IEEE double precision in a fixed order, so the
same input gives the same blocks on every machine.
"""

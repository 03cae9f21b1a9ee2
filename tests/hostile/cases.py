"""Cases and their results."""

import traceback


class Group:
    """Collects the results of a group of cases."""

    def __init__(self, name):
        self.name = name
        self.cases = 0
        self.failures = []
        self.figures = {}

    def check(self, case, got, want):
        """`want` is a set of outcomes, or one outcome."""
        want = want if isinstance(want, (set, frozenset)) else {want}
        self.cases += 1
        if got not in want:
            self.failures.append(f"{case}: {got!r}, expected {' or '.join(sorted(map(repr, want)))}")

    def expect(self, case, condition, seen):
        self.cases += 1
        if not condition:
            self.failures.append(f"{case}: {seen}")

    def attempt(self, case, function):
        """Runs one case; an exception is its failure."""
        try:
            function()
        except Exception:
            self.cases += 1
            self.failures.append(f"{case}: {traceback.format_exc(limit=3)}")

    def after(self, rig, **limits):
        failures, figures = rig.after(**limits)
        self.failures += [f"after the group: {failure}" for failure in failures]
        self.figures.update(figures)

    def report(self):
        return {"group": self.name, "cases": self.cases, "failures": self.failures, "figures": self.figures}

"""Rules that change objects as they come and go: conditions and actions as data, made into functions once.

`compiled(settings)` reads them; `Ruleset.receiving` and `.sending` choose those of an association, once; what they
choose is applied to a `View` of each object and gives the changes to lay over it.
"""

from isocenter.rules.coercion import Coercion, Outcome
from isocenter.rules.ruleset import Ends, Ruleset, compiled
from isocenter.rules.view import View

__all__ = ["Coercion", "Ends", "Outcome", "Ruleset", "View", "compiled"]

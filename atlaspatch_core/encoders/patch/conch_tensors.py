"""Which tensor of a file of CONCH v1.5 plays which role: told by shapes, as names may differ, and never guessed."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from atlaspatch_core.encoders.declaration import StateDict

FIRST_LAYER = "patch_embed.proj.weight"
"""Of timm's vision transformers; what stands before it stands before all tensors of the trunk."""
OF_NORMS = ((".weight", ".bias"), (".gamma", ".beta"))
"""How the tensors of a LayerNorm are called."""
OF_QUERIES = frozenset({"q", "wq", "query", "queries"})
OF_OUTPUT = frozenset({"o", "wo", "out", "output"})
"""Words in the name of a projection, asked where shapes do not decide."""


class UnclearTensors(Exception):
    """What speaks against a reading of a file, as a clause without its path."""


@dataclass(frozen=True, slots=True)
class _Pooling:
    """Names of the tensors of one attention, and prefixes of its norms."""

    scope: str
    """Prefix of all of them; the query may lie outside."""
    keys_values: str
    queries: str
    output: str
    query_norm: str
    token_norm: str


def sort_tensors(checkpoint: StateDict, of_trunk: Iterable[str], dim: int) -> StateDict:
    """Return the tensors by the names of ``ConchNetwork``.

    ``of_trunk`` are the names within the trunk, ``dim`` is the length of the query. Of several poolings the one with
    one query is taken, and the others are left out with their norms. Raises UnclearTensors, also for a tensor that is
    left over; what else the trunk lacks is for the strict load to say.
    """
    prefix = _prefix_of_trunk(checkpoint)
    names = {name: prefix + name for name in of_trunk if prefix + name in checkpoint}
    if "pos_embed" not in names:
        raise UnclearTensors(f"there is no {prefix}pos_embed")
    others = {name: tensor for name, tensor in checkpoint.items() if name not in names.values()}
    names = {f"trunk.{own}": name for own, name in names.items()}
    names |= _BesideTrunk(others, dim, len(checkpoint[prefix + FIRST_LAYER])).names()
    tensors = {own: checkpoint[name] for own, name in names.items()}
    return tensors | {"pooling.query": tensors["pooling.query"].reshape(1, dim)}


def _prefix_of_trunk(checkpoint: StateDict) -> str:
    first = [name for name in checkpoint if f".{name}".endswith(f".{FIRST_LAYER}")]
    if len(first) != 1:
        raise UnclearTensors(f"one tensor is to be called {FIRST_LAYER}, with any prefix, not {_listed(first)}")
    return first[0].removesuffix(FIRST_LAYER)


@dataclass(frozen=True, slots=True)
class _BesideTrunk:
    """What a file holds beside the trunk."""

    tensors: StateDict
    dim: int
    width: int
    """Of the trunk's tokens."""

    def names(self) -> dict[str, str]:
        """Return names in ``ConchNetwork`` to those in the file."""
        poolings = self._poolings()
        pooling, query = self._with_one_query(poolings)
        behind = self._norms_behind(poolings)
        names = {
            "pooling.query": query,
            "pooling.to_queries.weight": pooling.queries,
            "pooling.to_keys_values.weight": pooling.keys_values,
            "pooling.to_output.weight": pooling.output,
            **self._norm("pooling.query_norm", pooling.query_norm),
            **self._norm("pooling.token_norm", pooling.token_norm),
            **self._norm("norm", _only("norm behind the pooling", behind.pop(pooling.scope))),
        }
        of_others = (*behind, *(f"{norm}." for norms in behind.values() for norm in norms))
        spare = [name for name in self.tensors.keys() - names.values() if not name.startswith(of_others)]
        if spare:
            raise UnclearTensors(f"there is no role for {_listed(sorted(spare))}")
        return names

    def _poolings(self) -> list[_Pooling]:
        candidates = [name for name in self.tensors if self._may_be_keys_values(name)]
        poolings = [pooling for name in candidates if (pooling := self._pooling(name, candidates))]
        if not poolings:
            best_first = list(dict.fromkeys([*candidates, *self.tensors]))
            raise UnclearTensors(f"no pooling by attention can be made of {_listed(best_first)}")
        return poolings

    def _may_be_keys_values(self, name: str) -> bool:
        """Tell whether a tensor is the projection to keys and values, by its shape and those of its companions."""
        shape = self.tensors[name].shape
        if len(shape) != 2 or shape[1] != self.width or shape[0] % 2 or not name.endswith(".weight"):
            return False
        return all(self._projections("", shape[0] // 2))

    def _pooling(self, keys_values: str, candidates: Sequence[str]) -> _Pooling | None:
        """Return what lies under the smallest prefix that has all of a pooling, and no other's keys and values."""
        inner = len(self.tensors[keys_values]) // 2
        for scope in _scopes(keys_values):
            if any(name.startswith(scope) for name in candidates if name != keys_values):
                return None
            queries, output = self._projections(scope, inner)
            query_norms, token_norms = self._norms(self.dim, scope), self._norms(self.width, scope)
            if queries and output and query_norms and token_norms:
                return _Pooling(
                    scope,
                    keys_values,
                    _only("projection of queries", queries),
                    _only("projection of what is pooled", output),
                    _only("norm of queries", query_norms),
                    _only("norm of tokens", token_norms),
                )
        return None

    def _projections(self, scope: str, inner: int) -> tuple[list[str], list[str]]:
        """Return what may be the projection to queries, and that of the output; by their names where shapes are one."""
        queries, output = self._weights(inner, self.dim, scope), self._weights(self.dim, inner, scope)
        if inner == self.dim:
            words = {name: _words(name.removeprefix(scope)) for name in queries}
            queries = [name for name in words if words[name] & OF_QUERIES and not words[name] & OF_OUTPUT]
            output = [name for name in words if words[name] & OF_OUTPUT and not words[name] & OF_QUERIES]
        return queries, output

    def _with_one_query(self, poolings: Sequence[_Pooling]) -> tuple[_Pooling, str]:
        """Return the pooling that has one query, and the query's name."""
        outside = [] if len(poolings) > 1 else self._queries("")
        queries = {
            pooling: _only(f"query of {pooling.scope}", self._queries(pooling.scope) or outside) for pooling in poolings
        }
        choices = [(pooling, name) for pooling, name in queries.items() if self.tensors[name].numel() == self.dim]
        if len(choices) != 1:
            raise UnclearTensors(f"one pooling is to have one query, of {_listed(list(queries.values()))}")
        return choices[0]

    def _norms_behind(self, poolings: Sequence[_Pooling]) -> dict[str, list[str]]:
        """Return the prefix of each pooling to those of the norms behind it: of several, by a word of its own alone."""
        scopes = tuple(pooling.scope for pooling in poolings)
        norms = [norm for norm in self._norms(self.dim) if not norm.startswith(scopes)]
        if len(scopes) == 1:
            return {scopes[0]: norms}
        shared = frozenset.union(*(_words(a) & _words(b) for a, b in combinations(scopes, 2)))
        owners = {norm: [scope for scope in scopes if _words(norm) & (_words(scope) - shared)] for norm in norms}
        return {scope: [norm for norm in norms if owners[norm] == [scope]] for scope in scopes}

    def _weights(self, rows: int, columns: int, scope: str) -> list[str]:
        return [name for name in self._within(scope, (rows, columns)) if name.endswith(".weight")]

    def _queries(self, scope: str) -> list[str]:
        """Return the parameters under a prefix that have the length of a query and belong to no layer."""
        of_layers = tuple(ending for endings in OF_NORMS for ending in endings)
        return [
            name
            for name, tensor in self.tensors.items()
            if name.startswith(scope) and not name.endswith(of_layers) and tuple(tensor.shape[-1:]) == (self.dim,)
        ]

    def _norms(self, length: int, scope: str = "") -> list[str]:
        within = self._within(scope, (length,))
        return [
            name.removesuffix(weight)
            for name in within
            for weight, bias in OF_NORMS
            if name.endswith(weight) and name.removesuffix(weight) + bias in within
        ]

    def _norm(self, own: str, prefix: str) -> dict[str, str]:
        """Return names of a norm's weight and bias in ``ConchNetwork`` to those in the file."""
        weight, bias = next(endings for endings in OF_NORMS if prefix + endings[0] in self.tensors)
        return {f"{own}.weight": prefix + weight, f"{own}.bias": prefix + bias}

    def _within(self, scope: str, shape: tuple[int, ...]) -> list[str]:
        return [name for name, tensor in self.tensors.items() if name.startswith(scope) and tensor.shape == shape]


def _scopes(name: str) -> Iterator[str]:
    """Yield the prefixes of a name that end in a dot, longest first, and the empty one."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield f"{name}."
    yield ""


def _only(role: str, names: Sequence[str]) -> str:
    if len(names) != 1:
        raise UnclearTensors(f"the {role} may be {_listed(names)}" if names else f"there is no {role}")
    return names[0]


def _words(name: str) -> frozenset[str]:
    return frozenset(re.split(r"[._]", name))


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more

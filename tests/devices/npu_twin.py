"""A weight-stationary product walked tile by tile and token by token, counting every access: slow and plain."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass
class Walk:
    """Accesses in numbers of activations or sums, and cycles of loading and streaming over all tiles."""

    fetches: int = 0
    input_reads: int = 0
    sum_reads: int = 0
    sum_writes: int = 0
    outputs: int = 0
    loading: int = 0
    streaming: int = 0
    macs: int = 0


def spans(whole: int, step: int) -> Iterator[range]:
    for start in range(0, whole, step):
        yield range(start, min(start + step, whole))


def walk(
    tokens: int,
    k: int,
    n: int,
    array: tuple[int, int],
    needs: Callable[[int, range, range], bool] = lambda token, rows, columns: True,
    gives: Callable[[int, int], bool] = lambda token, column: True,
) -> Walk:
    """One product.

    Args:
        tokens: Rows of inputs.
        k: Inputs of a token.
        n: Outputs of a token.
        array: Rows and columns of the array.
        needs: Whether a token needs a tile.
        gives: Whether an output of a token is wanted.
    """
    found, written = Walk(), set()
    for columns in spans(n, array[1]):
        for rows in spans(k, array[0]):
            found.loading += len(rows)
            for token in range(tokens):
                if not needs(token, rows, columns):
                    continue
                found.streaming += 1
                found.input_reads += len(rows)
                for column in columns:
                    found.macs += len(rows)
                    found.sum_reads += (token, column) in written
                    found.sum_writes += 1
                    written.add((token, column))
    for token, column in written:
        found.sum_reads += 1  # out of the accumulator, as an activation
        found.outputs += gives(token, column)
    return found


def causal(context: int) -> Callable[[int, range], bool]:
    """Whether a token attends to some of these keys."""
    return lambda token, keys: any(key <= context + token for key in keys)


def fetches(inputs: int, column_tiles: int, cores: int, room: int) -> int:
    """How often inputs, one byte each, go from the scratchpad to a local buffer with so much room."""
    if inputs <= room:
        return inputs * len(set(range(column_tiles)) & set(range(cores)))
    return inputs * column_tiles


def dealt_cycles(pieces: list[int], cores: int) -> int:
    """Cycles of the core with most work when pieces go, longest first, to whoever is free."""
    busy = [0] * cores
    for piece in sorted(pieces, reverse=True):
        busy[busy.index(min(busy))] += piece
    return max(busy)


def even_pieces(tokens: int, k: int, n: int, array: tuple[int, int]) -> list[int]:
    """Cycles of every tile when each column of tiles is cut as evenly as the array allows."""
    pieces = []
    for _ in spans(n, array[1]):
        count = len(list(spans(k, array[0])))
        for piece in range(count):
            rows = k * (piece + 1) // count - k * piece // count
            pieces.append(rows if rows > tokens else tokens)
    return pieces

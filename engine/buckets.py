"""The batch sizes that decoding is captured for: a graph has one shape, and smaller batches are padded to it."""

MOST_RECORDED = 32


def decode_buckets(most: int) -> tuple[int, ...]:
    """Sizes up to `most` sequences: close together, because a padding row costs like any other outside attention and
    experts, but few, because each takes time to capture and memory to keep.

    >>> decode_buckets(5), decode_buckets(100)
    ((1, 2, 4, 5), (1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 96, 100))
    """
    sizes = (1, 2, 4, *range(8, 64, 8), *range(64, most, 32))
    return (*(size for size in sizes if size < most), most)


def recorded_sizes(most: int) -> tuple[int, ...]:
    """Every size up to `most` sequences or MOST_RECORDED, so that no batch is padded: the C++ ops would route a padding
    row like any other. In larger batches Python's overhead no longer shows.

    >>> recorded_sizes(3), recorded_sizes(100)[-1]
    ((1, 2, 3), 32)
    """
    return tuple(range(1, min(most, MOST_RECORDED) + 1))


def bucket_for(sequences: int, buckets: tuple[int, ...]) -> int:
    """The smallest of ascending `buckets` that holds this many sequences.

    >>> bucket_for(3, (1, 2, 4, 8)), bucket_for(8, (1, 2, 4, 8))
    (4, 8)
    """
    return next(bucket for bucket in buckets if bucket >= sequences)


def pads(bucket: int, buckets: tuple[int, ...]) -> bool:
    """Whether some smaller batch is padded to this one of `buckets`.

    >>> [pads(bucket, (1, 2, 4, 8)) for bucket in (1, 2, 4, 8)]
    [False, False, True, True]
    """
    return bucket > 1 and bucket - 1 not in buckets

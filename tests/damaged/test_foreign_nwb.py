"""NWB files from strangers: nothing outside is opened, no claim is believed."""

import os
import shutil
import struct
import tracemalloc
import zlib
from contextlib import ExitStack
from datetime import UTC, datetime

import damage
import h5py
import neo
import numpy as np
import pandas as pd
import pynwb
import pytest
import quantities as pq

import ann2neo
from ann2neo import FileFormatError, InputValueError
from ann2neo.io.nwb.hdf5_headers import bytes_inside, bytes_of_attribute
from ann2neo.io.nwb.hdf5_items import checked, item_at
from ann2neo.io.nwb.hdf5_tables import open_nwb

SEED = 20261127 + damage.SEED_SHIFT
CONTENTS = "nobody else may read this"


def session(path, n_units=4, n_trials=6):
    """A file as an experimenter writes it, with pynwb alone."""
    rng = np.random.default_rng(1)
    file = pynwb.NWBFile(
        "a session", "an-identifier", datetime(2020, 5, 17, 12, tzinfo=UTC)
    )
    file.add_unit_column("quality", "how well isolated")
    file.add_unit_column("renamed_column", "nothing")
    for unit in range(n_units):
        file.add_unit(
            spike_times=np.sort(rng.uniform(0, 3, 40)),
            obs_intervals=[[0.0, 3.0]],
            quality=["good", "mua"][unit % 2],
            renamed_column=1,
        )
    file.add_trial_column("label", "what was shown")
    for i in range(n_trials):
        file.add_trial(
            start_time=0.4 * i, stop_time=0.4 * i + 0.3, label=f"tone {i % 2}"
        )
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A file that nobody changed."""
    return session(tmp_path_factory.mktemp("base") / "session.nwb")


@pytest.fixture
def path(base, tmp_path):
    """A copy of it, to change."""
    return shutil.copyfile(base, tmp_path / "session.nwb")


def read(path, **options):
    return ann2neo.read_nwb(path, bin_size=1 * pq.ms, **options)


def replaced(handle, name, values, **options):
    """Put another dataset in the place of one, with its attributes."""
    attributes = dict(handle[name].attrs)
    del handle[name]
    dataset = handle.create_dataset(name, data=values, **options)
    dataset.attrs.update(attributes)
    return dataset


# -- indices
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["spike_times", "obs_intervals"])
@pytest.mark.parametrize(
    "change",
    [
        lambda ends: [-40, *ends[1:]],
        lambda ends: [ends[1], ends[0], *ends[2:]],
        lambda ends: [*ends[:-1], ends[-1] + 1],
        lambda ends: [*ends[:-1], ends[-1] - 1],
        lambda ends: ends[:-1],
    ],
    ids=["below zero", "descends", "beyond the data", "before the end", "fewer rows"],
)
def test_every_index_is_checked(path, column, change):
    """An index of a ragged column that begins below zero, does not ascend or does not
    end with the data is refused, and gives no unit the entries of another.
    """
    with h5py.File(path, "a") as handle:
        name = f"units/{column}_index"
        ends = handle[name][()].astype(np.int64).tolist()
        replaced(handle, name, np.array(change(ends), np.int64))
    for reader in (read, ann2neo.nwb_info):
        with pytest.raises(FileFormatError, match=rf"{column}_index does not fit"):
            reader(path)


# -- other files
# --------------------------------------------------------------------------------------


@pytest.fixture
def secret(tmp_path):
    """A file of the reader's that the stranger's file names."""
    secret = tmp_path / "home" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text(CONTENTS)
    return secret


def external_column(path, secret):
    with h5py.File(path, "a") as handle:
        replaced(
            handle,
            "units/quality",
            None,
            shape=(4,),
            dtype="S6",
            external=[(str(secret), 0, 24)],
        )


def virtual_column(path, secret):
    source = h5py.VirtualSource(str(secret.with_suffix(".h5")), "x", (4,), "i8")
    layout = h5py.VirtualLayout((4,), "i8")
    layout[:] = source
    with h5py.File(path, "a") as handle:
        attributes = dict(handle["units/quality"].attrs)
        del handle["units/quality"]
        handle.create_virtual_dataset("units/quality", layout).attrs.update(attributes)


def external_link(name):
    def change(path, secret):
        with h5py.File(path, "a") as handle:
            if name in handle:
                del handle[name]
            handle[name] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "x")

    return change


def linked_link(path, secret):
    with h5py.File(path, "a") as handle:
        handle["elsewhere"] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "/")
        del handle["units"]
        handle["units"] = h5py.SoftLink("/elsewhere/x")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (external_column, "/units/quality keeps its data in another file"),
        (virtual_column, "/units/quality keeps its data in another file"),
        (external_link("units/quality"), "/units/quality is a link to another file"),
        (external_link("units"), "/units is a link to another file"),
        (external_link("intervals/trials"), "/intervals/trials is a link to another"),
        (external_link("analysis"), "/analysis is a link to another file"),
        (external_link("session_description"), "/session_description is a link"),
        (linked_link, "/elsewhere is a link to another file"),
    ],
)
def test_other_files_are_not_opened(path, secret, change, where):
    """A link, external raw storage and a virtual dataset that lead out of the file are
    refused with the name of the file, which is not opened.
    """
    change(path, secret)
    # HDF5 cannot read a pipe, and would give another error. The pipes are held open, or
    # it would wait for their other end.
    secret.unlink()
    with ExitStack() as pipes:
        for name in (secret, secret.with_suffix(".h5")):
            os.mkfifo(name)
            pipes.callback(os.close, os.open(name, os.O_RDWR))
        with pytest.raises(FileFormatError, match=rf"{where}.*secret\.\w+'"):
            read(path)
        # Columns of units are not read.
        if not where.startswith("/units/"):
            with pytest.raises(FileFormatError, match=rf"{where}.*secret\.\w+'"):
                ann2neo.nwb_info(path)
        (finding,) = ann2neo.validate_nwb(path)
        assert finding.check == "integrity"
        assert "which is not opened" in finding.message
        with pytest.raises(FileFormatError, match=r"another file, '.*secret"):
            ann2neo.append_analysis(
                path, pd.DataFrame({"unit": [0]}), descriptions={"unit": "number"}
            )


def test_files_of_the_folder_are_read_on_request(path, tmp_path, secret):
    """With follow_links, links to files of the same folder are followed, and none to a
    file of another folder.
    """
    expected = read(path)
    with (
        h5py.File(path, "a") as handle,
        h5py.File(tmp_path / "others.nwb", "w") as others,
    ):
        handle.copy("units", others)
        del handle["units"]
        handle["units"] = h5py.ExternalLink("others.nwb", "/units")
    with pytest.raises(FileFormatError, match=r"'others\.nwb'.*follow_links=True"):
        read(path)
    assert read(path, follow_links=True).equals(expected)
    assert ann2neo.nwb_info(path, follow_links=True).n_units == 4
    shutil.move(tmp_path / "others.nwb", secret.parent / "others.nwb")
    for link in (str(secret.parent / "others.nwb"), "home/others.nwb"):
        with h5py.File(path, "a") as handle:
            del handle["units"]
            handle["units"] = h5py.ExternalLink(link, "/units")
        with pytest.raises(FileFormatError, match=r"a file outside the folder"):
            read(path, follow_links=True)
    (tmp_path / "others.nwb").symlink_to(secret.parent / "others.nwb")
    with h5py.File(path, "a") as handle:
        del handle["units"]
        handle["units"] = h5py.ExternalLink("others.nwb", "/units")
    with pytest.raises(FileFormatError, match=r"a file outside the folder"):
        read(path, follow_links=True)


def test_links_that_lead_in_circles_are_refused(path):
    """Soft links that lead to each other are an error, and one inside the file is
    followed.
    """
    with h5py.File(path, "a") as handle:
        handle.move("units", "scratch_units")
        handle["units"] = h5py.SoftLink("/scratch_units")
    assert read(path).n_units == 4
    with h5py.File(path, "a") as handle:
        del handle["scratch_units"]
        handle["scratch_units"] = h5py.SoftLink("/units")
    with pytest.raises(FileFormatError, match=r"leads on to more than 16 others"):
        read(path)


@pytest.mark.parametrize("reader", [read, ann2neo.nwb_info, ann2neo.validate_nwb])
def test_a_pipe_is_no_file(tmp_path, reader):
    """A pipe or a device is refused at once, and not waited for."""
    os.mkfifo(tmp_path / "a.nwb")
    (tmp_path / "b.nwb").symlink_to("/dev/zero")
    for name in ("a.nwb", "b.nwb"):
        with pytest.raises(FileFormatError, match=r"is not a (regular )?file"):
            reader(tmp_path / name)


# -- claims
# --------------------------------------------------------------------------------------

# Everything that reads; the raster must hold the spikes that HDF5 gives.
READ = """
import h5py
import quantities as pq
def read(path):
    failed = []
    def attempt(reader):
        try:
            return reader(path)
        except ann2neo.Ann2NeoError as error:
            failed.append(error)
    attempt(ann2neo.nwb_info)
    recording = attempt(lambda path: ann2neo.read_nwb(path, bin_size=1 * pq.ms))
    if recording is None:
        raise failed[-1]
    with h5py.File(path) as file:
        times = file["units/spike_times"][()]
        ends = file["units/spike_times_index"][()].astype(int)
    assert (np.diff(ends, prepend=0) >= 0).all() and ends[-1] == len(times)
    start = recording.raster.t_start_seconds
    segments = recording.segments[["start_bin", "stop_bin"]].to_numpy()
    for unit, own in enumerate(np.split(times, ends[:-1])):
        bins = np.floor((own - start) / 0.001 + 1e-6)
        inside = [(bins >= first) & (bins < stop) for first, stop in segments]
        expected = np.unique(bins[np.any(inside, axis=0)])
        if not np.array_equal(recording.raster.spike_bins(unit), expected):
            return "WRONG"
    return "other"
"""


def claim_length(path, text):
    """Claim four billion bytes where a text is used that stands in the file once."""
    data = bytearray(path.read_bytes())
    place = data.index(text)
    heap = data.rindex(b"GCOL\x01", 0, place)
    (index,) = struct.unpack_from("<H", data, place - 16)
    use = data.index(struct.pack("<IQI", len(text), heap, index))
    data[use : use + 4] = struct.pack("<I", 4_000_000_000)
    path.write_bytes(data)


def claim_scalar_text(path):
    """A text of its own."""
    claim_length(path, b"an-identifier")


def claim_bytes(path, stored):
    """Claim four billion bytes in what is stored where a string is used."""
    data = path.read_bytes()
    assert data.count(stored) == 1
    claimed = struct.pack("<I", 4_000_000_000) + stored[4:]
    path.write_bytes(data.replace(stored, claimed))


def claim_version(path):
    """The attribute that is read first."""
    with h5py.File(path) as handle:
        stored = bytes_of_attribute(handle, "nwb_version")
    claim_bytes(path, stored)


def claim_colnames(path):
    """An attribute of several texts."""
    with h5py.File(path) as handle:
        stored = bytes_of_attribute(handle["intervals/trials"], "colnames")
    claim_bytes(path, stored)


def claim_attribute_with_checksum(path):
    """An attribute of a newer file, whose header carries a checksum."""
    newer = path.with_name("newer")
    with h5py.File(path) as old, h5py.File(newer, "w", libver="latest") as new:
        new.attrs.update(old.attrs)

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                old.copy(item, new, name)
            else:
                new.create_group(name).attrs.update(item.attrs)

        old.visititems(copy)
        # The last table that is read.
        del new["units"].attrs["colnames"]
        new["units"].attrs["colnames"] = old["units"].attrs["colnames"]
    newer.replace(path)
    data = path.read_bytes()
    # Before the name stand 9 bytes, with the lengths of type and shape behind it.
    place = data.rindex(b"colnames\0")
    lengths = struct.unpack_from("<HH", data, place - 5)
    place += len("colnames\0") + sum(lengths)
    claim_bytes(path, data[place : place + 16])


def claim_inside(path):
    """A text inside the header of its object."""
    with h5py.File(path, "a") as handle:
        del handle["session_description"]
        inside = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        inside.set_layout(h5py.h5d.COMPACT)
        type_of = h5py.h5t.py_create(h5py.string_dtype(), logical=True)
        space = h5py.h5s.create(h5py.h5s.SCALAR)
        h5py.h5d.create(handle.id, b"session_description", type_of, space, inside)
        handle["session_description"][()] = "a session"
    with h5py.File(path) as handle:
        stored = bytes_inside(handle["session_description"])
    claim_bytes(path, stored)


def claim_scalar_as_numbers(path):
    """A text that is a billion numbers, none of them stored."""
    with h5py.File(path, "a") as handle:
        replaced(
            handle, "session_description", None, shape=(10**9,), dtype="f8", chunks=True
        )


def claim_column(path):
    """A column of a billion numbers, none of them stored."""
    with h5py.File(path, "a") as handle:
        replaced(
            handle, "units/quality", None, shape=(10**9,), dtype="i8", chunks=(1000,)
        )


def claim_chunk(path):
    """A column of four numbers, in a chunk of 400 million."""
    with h5py.File(path, "a") as handle:
        replaced(
            handle,
            "units/quality",
            None,
            shape=(4,),
            dtype="i8",
            maxshape=(None,),
            chunks=(400_000_000,),
            compression="gzip",
        ).id.write_direct_chunk((0,), zlib.compress(bytes(32)))


def claim_many_strings(path):
    """Many uses of one long string, in few bytes."""
    with h5py.File(path, "a") as handle:
        long = replaced(
            handle,
            "units/quality",
            ["x" * 2_000_000] * 4,
            dtype=h5py.string_dtype(),
            chunks=(4,),
        )
        _, use = long.id.read_direct_chunk((0,))
        attributes = dict(long.attrs)
        del handle["intervals/trials/label"]
        column = handle.create_dataset(
            "intervals/trials/label",
            (50_000,),
            h5py.string_dtype(),
            chunks=(50_000,),
            compression="gzip",
        )
        column.attrs.update(attributes)
        column.id.write_direct_chunk((0,), zlib.compress(use[:16] * 50_000))


def zero_in_heap(path):
    """Zeros in place of a text's length, at which HDF5 would stay for ever."""
    data = bytearray(path.read_bytes())
    place = data.index(b"an-identifier")
    data[place - 16 : place] = bytes(16)
    path.write_bytes(data)


CLAIMS = [
    zero_in_heap,
    claim_scalar_text,
    claim_version,
    claim_colnames,
    claim_attribute_with_checksum,
    claim_inside,
    claim_scalar_as_numbers,
    claim_column,
    claim_chunk,
    claim_many_strings,
]


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_claims_are_checked_before_they_take_memory(base, tmp_path, claim):
    """A string, a shape or a number of strings beyond what the file can hold is an
    error before anything is read.
    """

    def copy():
        return shutil.copyfile(base, tmp_path / "claims.nwb")

    def way(path, _):
        claim(path)

    counts = damage.outcomes_of(copy, [way], READ, n_files=1, seed=0)
    assert [said for _, said in counts] == ["error"]


@pytest.mark.parametrize("user_block", [0, 512])
@pytest.mark.parametrize("n_attributes", [1, 3, 20])
@pytest.mark.parametrize("lengths", [[7], [0, 300, 5], [40] * 500])
def test_lengths_of_texts_in_headers_are_those_that_are_read(
    tmp_path, user_block, n_attributes, lengths
):
    """In a file of HDF5's first format, what is stored of an attribute states the
    lengths of its texts, wherever in the file its header and their blocks lie.
    """
    texts = [
        ["x" * (length - number % 2 * (length > 0)) for length in lengths]
        for number in range(n_attributes)
    ]
    path = tmp_path / "attributes.h5"
    with h5py.File(path, "w", userblock_size=user_block) as handle:
        for where in ("group", "group/inner"):
            handle.create_group(where).attrs["number"] = np.arange(3.0)
        # In turn, so that each header is continued behind the other one.
        for number, content in enumerate(texts):
            for where in ("group", "group/inner", "/"):
                handle[where].attrs.create(
                    f"text {number}", content, dtype=h5py.string_dtype()
                )
    with h5py.File(path) as handle:
        for where in ("group", "group/inner", "/"):
            for number, content in enumerate(texts):
                stored = bytes_of_attribute(handle[where], f"text {number}")
                uses = np.frombuffer(stored, "<u4").reshape(-1, 4)
                assert uses[:, 0].tolist() == [len(text) for text in content]
            assert bytes_of_attribute(handle[where], "text 0")
            assert not bytes_inside(handle[where])


def test_words_of_another_file_are_not_read(path, secret):
    """The words of an enumeration are those of a dataset that is referred to, not those
    that lie at a path.
    """
    words = secret.with_name("words.h5")
    with h5py.File(words, "w") as handle:
        handle["words"] = [CONTENTS.encode()] * 3
    with h5py.File(path, "a") as handle:
        column = replaced(handle, "units/quality", np.arange(4) % 2)
        column.attrs["elements"] = "outside"
        handle["outside"] = h5py.ExternalLink(str(words), "words")
    assert CONTENTS not in read(path).units.to_string()


# -- many files
# --------------------------------------------------------------------------------------


def objects(handle, kind):
    """Return the names of the objects of a kind, without those of the schema."""
    names = []
    handle.visititems(
        lambda name, item: names.append(name) if isinstance(item, kind) else None
    )
    return [name for name in names if not name.startswith("specifications")]


def one_of(handle, rng, is_wanted=None):
    """Return the name of some dataset."""
    return str(rng.choice(list(filter(is_wanted, objects(handle, h5py.Dataset)))))


def change_word(path, rng):
    """Write an odd number over eight bytes, as a length or a place would lie there."""
    data = bytearray(path.read_bytes())
    place = 8 * int(rng.integers(len(data) // 8))
    odd = [0, 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1, len(data)]
    data[place : place + 8] = odd[rng.integers(len(odd))].to_bytes(8, "little")
    path.write_bytes(data)


def change_use_of_string(path, rng):
    """Change 4 of the 16 bytes where a string is used."""
    data = bytearray(path.read_bytes())
    heaps = [i for i in range(len(data)) if data.startswith(b"GCOL\x01", i)]
    heap = struct.pack("<Q", heaps[int(rng.integers(len(heaps)))])
    uses = [i - 4 for i in range(4, len(data)) if data.startswith(heap, i)]
    place = uses[int(rng.integers(len(uses)))] + 4 * int(rng.integers(4))
    odd = [0, 1, 5000, 10**6, 2**31, 2**32 - 1]
    data[place : place + 4] = odd[rng.integers(len(odd))].to_bytes(4, "little")
    path.write_bytes(data)


def retype(path, rng):
    """Give a dataset another type or shape."""
    with h5py.File(path, "a") as handle:
        name = one_of(handle, rng)
        shape = handle[name].shape
        others = [
            *(np.zeros(shape, kind) for kind in ("f8", "i1", "u8", "c16", "?")),
            np.full(shape, b"text"),
            np.zeros((*shape, 2)),
            np.float64(3.5),
            np.zeros(shape, [("a", "f8"), ("b", "i4")]),
            np.zeros(0),
            np.full(shape, np.nan),
        ]
        replaced(handle, name, others[rng.integers(len(others))])


def claim_shape(path, rng):
    """Claim a shape that nothing was written for, scalars' and columns' alike."""
    with h5py.File(path, "a") as handle:
        kind = ["f8", "i8", "S8", h5py.string_dtype()][rng.integers(4)]
        shape = [(10**9,), (10**6, 2000), (2**40,), (4, 10**9)][rng.integers(4)]
        replaced(
            handle, one_of(handle, rng), None, shape=shape, dtype=kind, chunks=True
        )


def change_index(path, rng):
    """Change the index of a ragged column."""
    with h5py.File(path, "a") as handle:
        name = one_of(handle, rng, lambda name: name.endswith("_index"))
        ends = handle[name][()].astype(np.int64)
        ends[rng.integers(len(ends))] = rng.choice([-(2**62), -1, 0, 41, 2**40])
        replaced(handle, name, rng.permutation(ends) if rng.random() < 0.3 else ends)


def change_numbers(path, rng):
    """Change one number."""
    with h5py.File(path, "a") as handle:
        name = one_of(handle, rng, lambda n: handle[n].dtype.kind in "iuf")
        values = handle[name][()]
        odd = [0, 1, 100]
        if values.dtype.kind == "f":
            odd += [np.nan, np.inf, 1e300, -1e9, 1e-300, -1]
        values.flat[rng.integers(values.size)] = odd[rng.integers(len(odd))]
        handle[name][...] = values


def lead_out(path, rng):
    """Put a link or a dataset that leads out of the file in the place of an object."""
    ways = [external_column, virtual_column, linked_link]
    with h5py.File(path) as handle:
        names = objects(handle, (h5py.Group, h5py.Dataset))
    ways += [external_link(str(rng.choice(names)))] * 5
    ways[rng.integers(len(ways))](path, path.with_name("other.txt"))


def drop(path, rng):
    """Leave out an object or an attribute."""
    with h5py.File(path, "a") as handle:
        name = str(rng.choice(objects(handle, (h5py.Group, h5py.Dataset))))
        attributes = list(handle[name].attrs)
        if attributes and rng.random() < 0.5:
            del handle[name].attrs[str(rng.choice(attributes))]
        else:
            del handle[name]


def make_claim(path, rng):
    """Make one of the claims above."""
    CLAIMS[rng.integers(len(CLAIMS))](path)


WAYS = [
    damage.flip_bytes,
    damage.truncate,
    damage.zero_range,
    damage.append_bytes,
    change_word,
    change_use_of_string,
    retype,
    claim_shape,
    change_index,
    change_numbers,
    lead_out,
    drop,
    make_claim,
]


@pytest.mark.parametrize(
    "n_files",
    [
        26,
        pytest.param(520, marks=pytest.mark.slow),
        pytest.param(2000, marks=[pytest.mark.exhaustive, pytest.mark.timeout(3600)]),
    ],
)
def test_foreign_files(base, tmp_path, n_files):
    """Each changed file is an error that names the problem, or read as HDF5 reads it,
    within bounds of memory and time.
    """

    def copy():
        return shutil.copyfile(base, tmp_path / "foreign.nwb")

    counts = damage.outcomes_of(copy, WAYS, READ, n_files, SEED + n_files)
    said = [word for (_, word), n in counts.items() for _ in range(n)]
    assert said.count("error") > n_files / 4
    assert said.count("other") > n_files / 10


# -- types
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "odd"),
    [
        ([0.0, 1.5, 2.0, 3.0], "1.5"),
        ([0, np.nan, 2, 3], "nan"),
        (np.array([0, 1, 2, 2**63 + 1], np.uint64), str(2**63 + 1)),
        (np.array([True, False, True, True]), "True"),
    ],
)
def test_ids_are_whole_numbers(path, ids, odd):
    """Ids that are no whole numbers are named, and not cast."""
    with h5py.File(path, "a") as handle:
        replaced(handle, "units/id", np.asarray(ids))
    with pytest.raises(FileFormatError, match=rf"/units/id holds {odd}, and ids are"):
        read(path)


def test_ids_stored_as_floats_are_read(path):
    """Whole numbers of any type are ids."""
    with h5py.File(path, "a") as handle:
        replaced(handle, "units/id", np.array([4.0, 7.0, 1.0, 2.0]))
    assert read(path).units["unit_id"].to_list() == [4, 7, 1, 2]


@pytest.mark.parametrize(
    "name",
    [
        "units/spike_times",
        "units/obs_intervals",
        "intervals/trials/start_time",
        "intervals/trials/stop_time",
    ],
)
@pytest.mark.parametrize("kind", ["c16", "?", [("a", "f8"), ("b", "i4")]])
def test_times_are_real_numbers(path, name, kind):
    """Times that are complex, flags or compound are an error that names the column."""
    with h5py.File(path, "a") as handle:
        shape = handle[name].shape
        replaced(handle, name, np.zeros(shape, kind))
    for reader in (read, ann2neo.nwb_info):
        with pytest.raises(FileFormatError, match=rf"/{name} holds .* times"):
            reader(path)


def test_columns_of_odd_types_are_left_out_by_name(path):
    """Complex and compound columns are left out, and named in the provenance."""
    with h5py.File(path, "a") as handle:
        replaced(handle, "units/quality", np.zeros(4, "c16"))
        replaced(
            handle, "intervals/trials/label", np.zeros(6, [("a", "f8"), ("b", "i4")])
        )
    provenance = read(path).provenance
    assert provenance["unit_columns_left_out"] == "quality"
    assert provenance["columns_left_out [trials]"] == "label"


def test_datasets_of_no_one_size_are_checked(path):
    """`checked` and `item_at` say what is there."""
    with open_nwb(path) as handle:
        assert item_at(handle, "units/nothing/there") is None
        assert item_at(handle, "/units/./id").shape == (4,)
        assert checked(item_at(handle, "units/id")).shape == (4,)


# -- bins
# --------------------------------------------------------------------------------------


def of_spike_times(path, bin_size, **options):
    """The same binning of spike times without a file."""
    return ann2neo.from_spike_times(
        [[0.1, 0.2], [0.3]], bin_size, t_stop=options.get("t_stop", 3 * pq.s)
    )


def of_neo(path, bin_size, **options):
    """The same binning of a block of Neo."""
    segment = neo.Segment()
    segment.spiketrains = [
        neo.SpikeTrain([0.1, 0.2] * pq.s, t_stop=options.get("t_stop", 3 * pq.s))
    ]
    block = neo.Block()
    block.segments.append(segment)
    return ann2neo.from_neo(block, bin_size=bin_size)


READERS = [ann2neo.read_nwb, of_spike_times, of_neo]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("step", [1e-15, 1e-18, 1e-200, 5e-324])
def test_too_small_a_bin_size_is_named(path, reader, step):
    """Bins that fit in no memory are refused with bin_size, t_start, t_stop and the
    bytes they need, whatever the spikes come from, and the file is not to blame.
    """
    with pytest.raises(
        InputValueError,
        match=r"bin_size=\S+ s from t_start=\S+ s to t_stop=3 s .*take .* bytes",
    ):
        reader(path, bin_size=step * pq.s)


@pytest.mark.parametrize("reader", READERS)
def test_memory_is_that_of_the_spikes(path, reader):
    """Few spikes in a hundred million bins take no memory by bin."""
    reader(path, bin_size=1 * pq.ms)
    tracemalloc.start()
    recording = reader(path, bin_size=30 * pq.ns)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert recording.n_time_bins >= 10**8
    assert peak < 20e6


# -- many presentations
# --------------------------------------------------------------------------------------


def peak_of(function, path):
    tracemalloc.start()
    function(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.slow
def test_info_takes_no_memory_per_presentation(tmp_path):
    """Summarizing a file takes a few bytes per presentation, and reading it at most 200
    while the tables are made.
    """
    sizes = [20_000, 120_000]
    peaks = {ann2neo.nwb_info: [], ann2neo.read_nwb: []}
    for n_bins in sizes:
        recording = ann2neo.Recording.from_activations(
            np.ones((n_bins, 1)), labels=np.arange(n_bins) % 7
        )
        path = ann2neo.write_nwb(recording, tmp_path / f"{n_bins}.nwb")
        for function, each in peaks.items():
            function(path)
            each.append(peak_of(function, path))
    grown = {f: np.diff(each)[0] / np.diff(sizes)[0] for f, each in peaks.items()}
    assert grown[ann2neo.nwb_info] < 60
    assert grown[ann2neo.read_nwb] < 200

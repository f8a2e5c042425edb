"""Nothing in a file from elsewhere runs code, leaves its folder, hangs or eats the machine: one message, no more."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
import torch

import wavenet_pl
from tests import hostile
from tests.hostile import ESCAPE, Builder, Scene
from tests.processes import the_run, train
from tests.shards.damages import audio_bytes, write_tar
from tests.shards.http_server import serving
from tests.shards.made import write_shard_set
from tests.small import SETTINGS
from wavenet_pl import cli
from wavenet_pl.config.tree import load_config
from wavenet_pl.errors import UserError
from wavenet_pl.runs.checkpoints import checksum_path
from wavenet_pl.shards.index import INDEX_NAME

LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))\n"
RUN = "import sys; from wavenet_pl.cli import main; sys.exit(main())"
ROOT = Path(__file__).resolve().parents[2]
SECRET = "canary-9f31-of-the-environment"
HEADROOM = 2**30
"""Bytes of address space that a command may take beyond what the process has."""

CODE = "damaged, or holds objects that could run code"
SMALL = "model: {network: {stacks: 1, layers_per_stack: 3}}\ndata: {path: x, crop_samples: 1000}\n"


class Case(NamedTuple):
    """One hostile file: what is typed, and how the command answers."""

    build: Builder
    said: str


CHECKPOINTS = {
    "pickle": Case(hostile.raw_pickle, "no zip file|not a zip file"),
    "pickle in a torch zip": Case(hostile.checkpoint(lambda place: {"wavenet_pl": place.payload}), CODE),
    "pickle among sound weights": Case(
        hostile.checkpoint(lambda place: {**hostile.checkpoint_content(), "callbacks": place.payload}), CODE
    ),
    "pickle in the legacy format": Case(
        hostile.checkpoint(lambda place: {"wavenet_pl": place.payload}, _use_new_zipfile_serialization=False),
        "not a zip file",
    ),
    "class to be built in the config": Case(
        hostile.configured(lambda config: config["model"].update(_target_="os.system")),
        "model._target_ is no setting",
    ),
    "callable in the config": Case(
        hostile.configured(lambda config: config.update(_instantiator="os.system")),
        "_instantiator is no setting",
    ),
    "environment in the config": Case(
        hostile.configured(lambda config: config.update(name="${oc.env:CANARY}")), "name has an interpolation"
    ),
    "escapes in a setting's name": Case(
        hostile.configured(lambda config: config.update({ESCAPE: 1})), r"\\x1b\]0;owned.* is no setting"
    ),
    "lists in lists, shared": Case(hostile.configured(hostile.alias_bomb), "more than 65536 values"),
    "lists in lists, deep": Case(hostile.configured(hostile.deep), "nested too deeply"),
    "number of 500 digits": Case(
        hostile.configured(lambda config: config.update(seed=10**500)), "seed is 1000.*, expected"
    ),
    "layers without end": Case(
        hostile.configured(hostile.many_layers), "config has 24000 layers, and it holds 35 tensors"
    ),
    "giant layers": Case(hostile.configured(hostile.giant_network), "expected torch.float32"),
    "giant layers from one number": Case(hostile.giant_from_one_number, r"weights have \d+ bytes"),
    "storage that claims terabytes": Case(hostile.claiming_storage, "does not match expected size"),
    "4 GiB in a few megabytes": Case(hostile.compressed_checkpoint, "it is compressed"),
    "sparse weights": Case(
        hostile.weighted(
            lambda weights: weights.update({"network.output.weight": torch.zeros(256, 16, 1).to_sparse()})
        ),
        CODE,
    ),
    "weights that are text": Case(
        hostile.weighted(lambda weights: weights.update({"network.output.bias": "x" * 256})),
        "network.output.bias is a str",
    ),
    "pipe": Case(hostile.special("pipe"), "a pipe or a device"),
    "device": Case(hostile.special("device"), "a pipe or a device"),
    "terabyte of nothing": Case(hostile.special("sparse"), "not a zip file"),
    "link to another file": Case(hostile.special("link"), "not a zip file"),
}

RUNS = {
    "metrics: pipe": Case(hostile.run_with(metrics=hostile.as_special("pipe")), "metrics.jsonl"),
    "metrics: device": Case(hostile.run_with(metrics=hostile.as_special("device")), "metrics.jsonl"),
    "metrics: no JSON": Case(hostile.run_with(metrics=hostile.lines("hello")), "line 1 is"),
    "metrics: a list": Case(hostile.run_with(metrics=hostile.lines("[1, 2]")), "line 1 is"),
    "metrics: deep": Case(hostile.run_with(metrics=hostile.lines("[" * 100_000)), "line 1 is"),
    "metrics: escapes": Case(hostile.run_with(metrics=hostile.lines(ESCAPE)), r"line 1 is b'\\x1b"),
    "metrics: no step": Case(hostile.run_with(metrics=hostile.lines('{"val/bits": 1}')), "has the row"),
    "metrics: a list as step": Case(
        hostile.run_with(metrics=hostile.lines('{"step": [3], "val/bits": 1}')), "line 1 is"
    ),
    "metrics: a step that is NaN": Case(
        hostile.run_with(metrics=hostile.lines('{"step": NaN, "val/bits": 1}')), "line 1 is"
    ),
    "metrics: nested": Case(
        hostile.run_with(metrics=hostile.lines('{"step": 3, "val/bits": {"x": 1}}')), "line 1 is"
    ),
    "metrics: text as bits": Case(
        hostile.run_with(metrics=hostile.lines('{"step": 3, "val/bits": "x"}', '{"step": 4, "val/bits": 2}')),
        "has the row",
    ),
    "checksum: pipe": Case(hostile.run_with(checksum=hostile.as_special("pipe")), "none that can be used"),
    "checksum: device": Case(
        hostile.run_with(checksum=hostile.as_special("device")), "none that can be used"
    ),
    "checkpoint: link to another file": Case(
        hostile.run_with(checkpoint=hostile.as_special("link")), "none that can be used"
    ),
}

EXPORTS = {
    "header longer than the file": Case(
        hostile.with_weights_file(lambda path, place: path.write_bytes(b"\xff" * 7 + b"\0" + b"{}")),
        "cannot be loaded",
    ),
    "header that never ends": Case(
        hostile.with_weights_file(lambda path, place: path.write_bytes(b"\xff" * 8 + b"{}")),
        "cannot be loaded",
    ),
    "tensors beyond the end": Case(
        hostile.with_header(lambda header: header["network.output.bias"].update(data_offsets=[0, 2**50])),
        "cannot be loaded",
    ),
    "tensors on top of each other": Case(
        hostile.with_header(lambda header: header["network.output.bias"].update(data_offsets=[0, 1024])),
        "cannot be loaded",
    ),
    "shape of terabytes": Case(
        hostile.with_header(lambda header: header["network.output.bias"].update(shape=[2**40])),
        "cannot be loaded",
    ),
    "shape that overflows": Case(
        hostile.with_header(lambda header: header["network.output.bias"].update(shape=[2**62, 2**62])),
        "cannot be loaded",
    ),
    "unknown numbers": Case(
        hostile.with_header(lambda header: header["network.output.bias"].update(dtype="PICKLE")),
        "cannot be loaded",
    ),
    "terabyte of nothing": Case(hostile.with_weights_file(hostile.sparse_terabyte), "cannot be loaded"),
    "pickle": Case(
        hostile.with_weights_file(lambda path, place: torch.save({"wavenet_pl": place.payload}, path)),
        "cannot be loaded",
    ),
    "pipe": Case(
        hostile.with_weights_file(lambda path, place: hostile.make_special(path, "pipe", place)), "pipe"
    ),
    "device": Case(
        hostile.with_weights_file(lambda path, place: hostile.make_special(path, "device", place)), "device"
    ),
    "of something else": Case(
        hostile.with_header(lambda header: header.pop("__metadata__") and None),
        "says nothing of this project",
    ),
    "step that is text": Case(hostile.with_origin(step="3"), "its step is '3', expected 0 or more"),
    "step below 0": Case(hostile.with_origin(step=-1), "its step is -1"),
    "no step": Case(hostile.with_origin(step=None), "expected index_fingerprint, labels, sample_rate, step"),
    "more than expected": Case(hostile.with_origin(_target_="os.system"), "expected index_fingerprint"),
    "sample rate of 1 Hz": Case(hostile.with_origin(sample_rate=1), "its sample rate is 1"),
    "sample rate true": Case(hostile.with_origin(sample_rate=True), "its sample rate is True"),
    "sample rate NaN": Case(hostile.with_origin(sample_rate=float("nan")), "its sample rate is nan"),
    "escapes as the fingerprint": Case(
        hostile.with_origin(index_fingerprint=ESCAPE), r"its index fingerprint is '\\x1b"
    ),
    "labels in a list": Case(hostile.with_origin(labels=[ESCAPE]), r"its labels are \['\\x1b\]0;owned"),
    "labels: names twice": Case(
        hostile.with_origin(labels={"tables": {"accent": ["a", "a"]}, "frames": {}}), "its accent names are"
    ),
    "labels: escapes as a table": Case(
        hostile.with_origin(labels={"tables": {ESCAPE: ["a"]}, "frames": {}}), r"one called '\\x1b\]0;owned"
    ),
    "labels: frames of text": Case(
        hostile.with_origin(labels={"tables": {}, "frames": {"f0": {"hop_length": ESCAPE}}}),
        "expected numbers",
    ),
    "labels of version 0.1.0: names twice": Case(
        hostile.with_origin(labels={"speakers": ["a", "a"], "tags": [], "features": {}}),
        "its speaker names are",
    ),
    "deep header": Case(hostile.with_origin_text("[" * 100_000), "cannot be loaded"),
    "number of 5,000 digits": Case(hostile.with_origin_text("1" * 5_000), "cannot be loaded"),
    "wrong shape": Case(
        hostile.with_tensors(lambda weights: weights.update({"network.output.bias": torch.zeros(255)})),
        r"network.output.bias is torch.float32 \(255,\), expected torch.float32 \(256,\)",
    ),
    "wrong numbers": Case(
        hostile.with_tensors(lambda weights: weights.update({"network.output.bias": torch.zeros(256).int()})),
        r"network.output.bias is torch.int32 \(256,\), expected torch.float32 \(256,\)",
    ),
    "missing weights": Case(
        hostile.with_tensors(lambda weights: weights.pop("network.output.bias")),
        "it lacks network.output.bias",
    ),
    "more weights": Case(
        hostile.with_tensors(lambda weights: weights.update({ESCAPE: torch.zeros(3)})),
        r"it holds '\\x1b.*which the model has not",
    ),
    "NaN": Case(
        hostile.with_tensors(lambda weights: weights["network.output.bias"].fill_(float("nan"))),
        "network.output.bias has numbers that are not finite",
    ),
    "config that makes objects": Case(
        hostile.with_config(
            lambda path, place: path.write_text(f"name: !!python/object/apply:os.mkdir [{place.canary}]\n")
        ),
        "YAML tag",
    ),
    "config of giant layers": Case(
        hostile.with_config(
            lambda path, place: path.write_text(
                "data: {path: x, crop_samples: 10000}\n"
                "model: {network: {stacks: 1, layers_per_stack: 5, residual_channels: 1000000000}}\n"
            )
        ),
        "expected torch.float32",
    ),
    "config: pipe": Case(
        hostile.with_config(lambda path, place: hostile.make_special(path, "pipe", place)), "is no file"
    ),
    "no config": Case(hostile.with_config(lambda path, place: None), "is no file, expected the config"),
}

CONFIGS = {
    "object": Case(hostile.train_config("name: !!python/object:os.mkdir [CANARY]\n"), "YAML tag"),
    "object that is called": Case(
        hostile.train_config("name: !!python/object/apply:os.mkdir [CANARY]\n"), "YAML tag"
    ),
    "tag of its own": Case(hostile.train_config("name: !include /etc/hosts\n"), "YAML tag"),
    "laughs": Case(
        hostile.train_config(
            "a: &a [x, x]\n"
            + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
        ),
        "anchor or alias",
    ),
    "deep": Case(hostile.train_config("a: " + "[" * 30_000), "nested too deeply"),
    "huge": Case(
        hostile.train_config(lambda path, place: hostile.make_special(path, "sparse", place)), "larger than"
    ),
    "environment": Case(
        hostile.train_config(SMALL + "name: ${oc.env:CANARY}\n"), "name has an interpolation"
    ),
    "environment in a free mapping": Case(
        hostile.train_config(SMALL + "trainer: {strategy: '${oc.env:CANARY}'}\n"), "has an interpolation"
    ),
    "class to be built": Case(
        hostile.train_config(SMALL + "optim: {_target_: os.system}\n"), "optim._target_ is no setting"
    ),
    "objects for the trainer": Case(
        hostile.train_config(SMALL + "trainer: {callbacks: [os.system]}\n"), "trainer.callbacks cannot be set"
    ),
    "elsewhere as the run folder": Case(
        hostile.train_config(SMALL + "name: ../../outside\n"), "it names a folder"
    ),
    "program as the data": Case(
        hostile.train_config(SMALL.replace("path: x", "path: 'pipe:mkdir CANARY'")), "would run a program"
    ),
    "escapes in a name": Case(hostile.train_config(f'"\\e]0;owned\\a{"x"}": 1\n'), r"\\x1b\]0;owned"),
    "a second line in a name": Case(
        hostile.train_config('"x\\nwavenet-pl: all is well": 1\n'), r"x\\nwavenet-pl: all is well"
    ),
    "pipe": Case(
        hostile.train_config(lambda path, place: hostile.make_special(path, "pipe", place)),
        "a pipe or a device",
    ),
    "device": Case(
        hostile.train_config(lambda path, place: hostile.make_special(path, "device", place)),
        "a pipe or a device",
    ),
    "a second line in an option": Case(
        hostile.index_tree(lambda tree: None, 'trainer={"x\\ny": 1}'), r"trainer.x\\ny is no option"
    ),
    "pickle": Case(hostile.train_config(b"\x80\x04\x95"), "not UTF-8"),
}

INDEXES = {
    "program as the base": Case(
        hostile.signed_index(lambda index: hostile.replace(index, base="pipe:mkdir canary")),
        "would run a program",
    ),
    "program as a shard": Case(
        hostile.index_tree(lambda tree: hostile.shard_row(tree).update(name="pipe:mkdir canary.tar")),
        "no path below",
    ),
    "shard above": Case(
        hostile.index_tree(lambda tree: hostile.shard_row(tree).update(name="../outside/0.tar")),
        "no path below",
    ),
    "shard at the root": Case(
        hostile.index_tree(lambda tree: hostile.shard_row(tree).update(name="/dev/zero.tar")), "no path below"
    ),
    "shard that is a number": Case(
        hostile.index_tree(lambda tree: hostile.shard_row(tree).update(name=7)), "no index that can be used"
    ),
    "escapes as a shard": Case(
        hostile.index_tree(lambda tree: hostile.shard_row(tree).update(name=f"{ESCAPE}.tar")), "no path below"
    ),
    "key above": Case(
        hostile.index_tree(lambda tree: hostile.recording_row(tree).__setitem__(0, "../x")),
        "no index that can be used",
    ),
    "frames below 0": Case(hostile.with_frames(-1), "frames of"),
    "frames true": Case(hostile.with_frames(True), "frames of"),
    "frames as text": Case(hostile.with_frames("2000"), "frames of"),
    "frames NaN": Case(hostile.with_frames(float("nan")), "frames of"),
    "frames infinite": Case(hostile.with_frames(float("inf")), "frames of"),
    "frames of 4,000 digits": Case(hostile.with_frames(10**4_000), "frames of"),
    "frames of a million years": Case(
        hostile.signed_index(hostile.giant_frames), "a recording of .* samples, more than 3600 s"
    ),
    "place outside the shard": Case(hostile.with_offset(0, 2**40), "points outside its shard"),
    "place before the shard": Case(hostile.with_offset(0, -512), "offset of"),
    "size below 0": Case(hostile.with_offset(1, -1), "size of"),
    "size NaN": Case(hostile.with_offset(1, float("nan")), "size of"),
    "row outside the table": Case(hostile.with_rows({"speaker": [2]}), "speaker of .* is 2"),
    "row below 0": Case(hostile.with_rows({"speaker": [-1]}), "speaker of .* is -1"),
    "row true": Case(hostile.with_rows({"speaker": [True]}), "speaker of .* is True"),
    "row of no table": Case(hostile.with_rows({ESCAPE: [0]}), "no index that can be used"),
    "rows in a list": Case(hostile.with_rows([[0]]), "no index that can be used"),
    "table that is a path": Case(
        hostile.with_labels(tables={"../outside": ["a"]}), "tables have one called '../outside'"
    ),
    "escapes as a table": Case(hostile.with_labels(tables={ESCAPE: ["a"]}), r"one called '\\x1b\]0;owned"),
    "names twice": Case(hostile.with_labels(tables={"accent": ["a", "a"]}), "its accent names are"),
    "tables in a list": Case(hostile.with_labels(tables=[ESCAPE]), r"its tables are \['\\x1b\]0;owned"),
    "frames that are a path": Case(
        hostile.with_labels(frames={"../outside": {}}), "frames have one called '../outside'"
    ),
    "frames of text": Case(hostile.with_labels(frames={"f0": {"hop_length": ESCAPE}}), r"'\\x1b\]0;owned"),
    "frames of a million numbers": Case(
        hostile.with_labels(frames={"f0": {"mean": [0.0] * 10**6}}), "f0 has 'mean' .*, expected numbers"
    ),
    "frames that no recording has": Case(
        hostile.with_labels(frames={"f0": {"hop_length": 80}}), r"has no f0\.npy, expected one in every"
    ),
    "sample rate of 1 Hz": Case(
        hostile.index_tree(lambda tree: tree.update(sample_rate=1)), "sample_rate is 1"
    ),
    "sample rate true": Case(
        hostile.index_tree(lambda tree: tree.update(sample_rate=True)), "sample_rate is True"
    ),
    "sample rate in a list": Case(
        hostile.index_tree(lambda tree: tree.update(sample_rate=[8000])), "no index that can be used"
    ),
    "another fingerprint": Case(
        hostile.index_tree(lambda tree: tree.update(fingerprint=ESCAPE)), "was changed"
    ),
    "splits that are a list": Case(
        hostile.index_tree(lambda tree: tree.update(splits=[1])), "no index that can be used"
    ),
    "deep": Case(hostile.index_tree(lambda tree: "[" * 100_000), "no index that can be used"),
    "number of 5,000 digits": Case(hostile.index_tree(lambda tree: "1" * 5_000), "no index that can be used"),
    "no text": Case(hostile.index_tree(lambda tree: "\x00\x01"), "no index that can be used"),
    "pipe": Case(hostile.special_in_set(INDEX_NAME, "pipe"), f"{INDEX_NAME} cannot be read"),
    "device": Case(hostile.special_in_set(INDEX_NAME, "device"), f"{INDEX_NAME} cannot be read"),
    "columns: program as a shard": Case(
        hostile.column("shards/names", *b"pipe:mkdir canary"), "no path below"
    ),
    "columns: escapes as a shard": Case(
        hostile.column("shards/names", *b"\x1b]0;"), r"'\\x1b\]0;n/sh.*no path below"
    ),
    "columns: key above": Case(hostile.column("keys", *b"../"), r"the key '\.\./-00000' has other signs"),
    "columns: key that is no text": Case(hostile.column("keys", 255, 27), r"the key '\\\\xff"),
    "columns: offset that wraps": Case(
        hostile.column("offset/flac", 2**64 - 512), "offset of 'rec-00000' in"
    ),
    "columns: bounds that wrap": Case(hostile.column("keys/bounds", 0, 2**64 - 1), "are not in order"),
    "columns: counts that wrap": Case(
        hostile.column("shards/recordings", 2**64 - 1), "other numbers of recordings"
    ),
    "columns: labels endless": Case(
        hostile.columns(lambda facts, arrays: facts.update(labels="[" * 200_000)), "no index that can be used"
    ),
    "columns: fingerprint that is a path": Case(
        hostile.columns(lambda facts, arrays: facts.update(fingerprint="../outside")), "its fingerprint is"
    ),
    "terabyte of nothing": Case(hostile.special_in_set(INDEX_NAME, "sparse"), INDEX_NAME),
}

SHARD = "train/shard-000000.tar"
SHARDS = {
    "link": Case(
        hostile.shard((hostile.odd_member(tarfile.SYMTYPE, link="../outside/secret.txt"), b"")), "a link"
    ),
    "hard link": Case(
        hostile.shard((hostile.odd_member(tarfile.LNKTYPE, link="/etc/passwd"), b"")), "a link"
    ),
    "device": Case(hostile.shard((hostile.odd_member(tarfile.CHRTYPE), b"")), "a device"),
    "pipe": Case(hostile.shard((hostile.odd_member(tarfile.FIFOTYPE), b"")), "a device"),
    "path above": Case(hostile.shard(("../rec.wav", audio_bytes())), "leads out"),
    "path at the root": Case(hostile.shard(("/tmp/rec.wav", audio_bytes())), "leads out"),
    "path above in an extended header": Case(hostile.pax({"path": "../../rec.wav"}), "leads out"),
    "sparse": Case(hostile.shard((hostile.odd_member(tarfile.GNUTYPE_SPARSE), b"")), "a sparse file"),
    "sparse in an extended header": Case(hostile.pax({"GNU.sparse.realsize": str(2**50)}), "a sparse file"),
    "size in an extended header": Case(hostile.pax({"size": str(2**60)}), "of its .* bytes"),
    "size below 0 in an extended header": Case(hostile.pax({"size": "-1"}), "size is b'-1'"),
    "giant size": Case(hostile.shard_bytes(hostile.giant_header(2**62)), "of its .* bytes"),
    "size below 0": Case(hostile.shard_bytes(hostile.giant_header(-(2**40))), "of its .* bytes"),
    "giant name": Case(
        hostile.shard((hostile.odd_member(tarfile.GNUTYPE_LONGNAME, size=2**24), bytes(2**24))),
        "an extended header of 16777216 bytes",
    ),
    "compressed": Case(hostile.shard_bytes(b"\x1f\x8b\x08\0" + bytes(508)), "no valid tar header"),
    "FLAC of 200 hours": Case(
        hostile.shard(("rec.flac", hostile.flac_of_hours(200))), "its header says 720000"
    ),
    "WAV of 1 Hz": Case(hostile.shard(("rec.wav", hostile.wav_of_one_hertz())), "1 Hz"),
    "deep JSON": Case(
        hostile.shard(("rec.wav", audio_bytes()), ("rec.json", hostile.nested_json(100_000))), "broken JSON"
    ),
    "JSON of 100 levels": Case(
        hostile.shard(("rec.wav", audio_bytes()), ("rec.json", hostile.nested_json(100))), "speaker is"
    ),
    "escapes as a name": Case(hostile.shard((f"{ESCAPE}.wav", audio_bytes())), r"\\x1b\]0;owned"),
    "escapes as a speaker": Case(
        hostile.shard(("rec.wav", audio_bytes()), ("rec.json", hostile.metadata_bytes(speaker={ESCAPE: 1}))),
        r"\\x1b\]0;owned",
    ),
    "escapes as an accent": Case(
        hostile.shard(
            ("rec.wav", audio_bytes()), ("rec.json", hostile.metadata_bytes(accent=[ESCAPE])), tables="accent"
        ),
        r"accent is \['\\x1b\]0;owned",
    ),
    "half a sign as an accent": Case(
        hostile.shard(("rec.wav", audio_bytes()), ("rec.json", b'{"accent": "\\ud800"}'), tables="accent"),
        r"accent is '\\ud800', expected a name",
    ),
    "escapes as a table that nobody has": Case(
        hostile.shard(("rec.wav", audio_bytes()), tables=ESCAPE), r"--tables names '\\x1b\]0;owned"
    ),
    "shard: pipe": Case(hostile.special_in_set(SHARD, "pipe"), "unreadable shard"),
    "shard: device": Case(hostile.special_in_set(SHARD, "device"), "unreadable shard"),
}

ROWS = "file,speaker,split\n"
CORPORA = {
    "path at the root": Case(hostile.corpus(ROWS + "/etc/passwd,a,train\n"), "expected a path below SRC"),
    "path above": Case(hostile.corpus(ROWS + "../outside/secret.txt,a,train\n"), "expected a path below SRC"),
    "path above, by other signs": Case(
        hostile.corpus(ROWS + "a\\..\\..\\x.wav,a,train\n"), "expected a path below SRC"
    ),
    "notes at the root": Case(
        hostile.corpus("file,midi\nsound-0.wav,/etc/passwd\n"), "expected a path below SRC"
    ),
    "escapes as a path": Case(hostile.corpus(ROWS + f"../{ESCAPE},a,train\n"), r"\\x1b\]0;owned"),
    "giant cell": Case(
        hostile.corpus(ROWS + "x" * 200_000 + ",a,train\n"), "no table of comma-separated values"
    ),
    "zeros": Case(hostile.corpus(ROWS + "\0\0,a,train\n"), "metadata.csv"),
    "table: pipe": Case(
        hostile.corpus(lambda path, place: hostile.make_special(path, "pipe", place)),
        "metadata.csv cannot be read",
    ),
    "table: device": Case(
        hostile.corpus(lambda path, place: hostile.make_special(path, "device", place)),
        "metadata.csv cannot be read",
    ),
    "table: terabyte of nothing": Case(
        hostile.corpus(lambda path, place: hostile.make_special(path, "sparse", place)), "metadata.csv"
    ),
    "array: pickle": Case(hostile.framed(hostile.pickled_array), "Object arrays cannot be loaded"),
    "array: terabytes that are not there": Case(
        hostile.framed(
            hostile.npy("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999,), }\n")
        ),
        "sound-0.f0.npy cannot be read",
    ),
    "array: code as a header": Case(
        hostile.framed(hostile.npy("__import__('os').mkdir('canary')\n")), "sound-0.f0.npy cannot be read"
    ),
    "array: deep header": Case(
        hostile.framed(hostile.npy("(" * 9_000 + "\n")), "sound-0.f0.npy cannot be read"
    ),
    "array: header of the wrong kind": Case(
        hostile.framed(hostile.npy("{'descr': '<,f8', 'fortran_order': False, 'shape': (1,), }\n")),
        "sound-0.f0.npy cannot be read",
    ),
    "array: header of no type": Case(
        hostile.framed(hostile.npy("{'descr': (), 'fortran_order': False, 'shape': (1,), }\n")),
        "sound-0.f0.npy cannot be read",
    ),
    "array: header that warns": Case(
        hostile.framed(hostile.npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1L,), 'x\\d': 0}\n")),
        "sound-0.f0.npy cannot be read",
    ),
    "array: header of minus signs": Case(
        hostile.framed(hostile.npy("-" * 9_000 + "1\n")), "sound-0.f0.npy cannot be read"
    ),
    "array: escapes in the header": Case(
        hostile.framed(hostile.npy(f"{{'descr': '{ESCAPE}', 'fortran_order': False, 'shape': (1,), }}\n")),
        "sound-0.f0.npy cannot be read",
    ),
    "array: escapes as a field": Case(
        hostile.framed(
            hostile.npy(
                f"{{'descr': [('{ESCAPE}', '<f4')], 'fortran_order': False, 'shape': (1,), }}\n", bytes(4)
            )
        ),
        r"sound-0.f0.npy has \[\('\\x1b\]0;owned",
    ),
    "array: shape below 0": Case(
        hostile.framed(hostile.npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }\n")),
        "sound-0.f0.npy (cannot be read|has)",
    ),
    "array: pipe": Case(
        hostile.framed(lambda path, place: hostile.make_special(path, "pipe", place)), "a pipe or a device"
    ),
    "array: device": Case(
        hostile.framed(lambda path, place: hostile.make_special(path, "device", place)), "a pipe or a device"
    ),
    "array: terabyte of nothing": Case(
        hostile.framed(lambda path, place: hostile.make_special(path, "sparse", place)), "larger than"
    ),
    "array: link to another file": Case(
        hostile.framed(lambda path, place: hostile.make_special(path, "link", place)), "expected a .npy file"
    ),
}

HARMLESS = {
    "checkpoint: callable as a hyper-parameter": hostile.checkpoint(
        lambda place: {
            **hostile.checkpoint_content(),
            "hyper_parameters": {"_instantiator": "os.mkdir", "path": str(place.canary)},
            "hparams_name": "_instantiator",
        }
    ),
    "checkpoint: program as the data": hostile.configured(
        lambda config: config["data"].update(path="pipe:mkdir canary")
    ),
    "run: folder that is a link": hostile.linked_run,
    "shard: members that are code": hostile.shard(*hostile.CODE_MEMBERS),
    "corpus: files that are none": hostile.corpus(**hostile.ODD_FILES),
}
"""What is asked for can be done, as the hostile part is never looked at."""

ALL = {
    f"{kind}: {name}": case
    for kind, cases in {
        "checkpoint": CHECKPOINTS, "run": RUNS, "export": EXPORTS, "config": CONFIGS, "index": INDEXES,
        "shard": SHARDS, "corpus": CORPORA,
    }.items()
    for name, case in cases.items()
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Hostile files in one folder, a bystander in another, and the command in a third."""
    folders = {name: tmp_path / name for name in ("hostile", "outside", "here")}
    for folder in folders.values():
        folder.mkdir()
    (folders["outside"] / "secret.txt").write_text("nobody's business\n")
    monkeypatch.setenv("CANARY", SECRET)
    monkeypatch.chdir(folders["here"])
    handlers = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    }
    yield Scene(folders["hostile"], tmp_path / "canary", folders["outside"])
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextmanager
def bounded_memory(extra: int) -> Iterator[None]:
    """No more address space than the process has, and `extra` bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def check_untouched(place: Scene, text: str) -> None:
    """No side effect: nothing was made, changed or told."""
    assert not place.canary.exists() and not Path("canary").exists()
    assert [path.name for path in place.outside.iterdir()] == ["secret.txt"]
    assert (place.outside / "secret.txt").read_text() == "nobody's business\n"
    assert SECRET not in text and "nobody's business" not in text
    assert all(letter.isprintable() or letter == "\n" for letter in text)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ALL)
def test_a_hostile_file_is_one_message_and_nothing_else(
    name: str, place: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    case = ALL[name]
    command = case.build(place)
    with bounded_memory(HEADROOM):
        code = cli.main(command)
    out, err = capsys.readouterr()
    assert code == 2, err[-2000:]
    assert err.count("\n") == 1 and err.startswith(f"wavenet-pl {command[0]}: error: "), err
    assert re.search(case.said, out + err), out + err
    check_untouched(place, out + err)
    assert not list(Path().iterdir())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_never_looked_at_does_nothing(
    name: str, place: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    with bounded_memory(HEADROOM):
        code = cli.main(HARMLESS[name](place))
    out, err = capsys.readouterr()
    written = [path for path in place.folder.rglob("*") if path.suffix in (".md", ".jsonl", ".csv")]
    check_untouched(place, out + err + "".join(path.read_text() for path in written))
    assert code == 0, err


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["step-000000003.ckpt", "model.safetensors", "config.yaml"])
def test_any_byte_may_be_wrong(name: str, place: Scene) -> None:
    """Whatever bytes are changed, a model comes, or one message."""
    sound = hostile.checkpoint(lambda _: hostile.checkpoint_content()), hostile.export(lambda folder, _: None)
    source = Path(sound[name != "step-000000003.ckpt"](place)[1])
    path = source / name if source.is_dir() else source
    data, random = path.read_bytes(), Random(name)
    head = min(len(data), 3_000)  # what says what the rest is: the rest are numbers
    for _ in range(200):
        changed = bytearray(data)
        for _ in range(random.choice([1, 2, 5])):
            changed[random.randrange(head)] = random.randrange(256)
        path.write_bytes(changed[: random.choice([len(data), random.randrange(len(data))])])
        with suppress(UserError):
            wavenet_pl.load(source)


@pytest.mark.slow
def test_other_readers_of_a_shard_run_no_code_either(place: Scene) -> None:
    """webdataset by itself unpickles such members; where ours is imported first, it refuses."""
    path = write_tar(place.folder / "0.tar", hostile.CODE_MEMBERS)
    program = (
        "import sys, wavenet_pl.data.pipeline, webdataset\n"
        "list(webdataset.WebDataset(sys.argv[1], shardshuffle=False).decode())\n"
    )
    done = run_limited(str(path), program=program)
    assert "not allowed for security reasons" in done.stderr
    check_untouched(place, "")


def run_limited(*arguments: str, program: str = RUN) -> subprocess.CompletedProcess[str]:
    """`wavenet-pl`, or a program, in a process of its own, with 8 GiB of address space and two minutes."""
    return subprocess.run(
        [sys.executable, "-c", LIMIT + program, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "checkpoint: pickle in a torch zip",
        "checkpoint: 4 GiB in a few megabytes",
        "export: terabyte of nothing",
    ],
)
def test_a_process_of_its_own_survives_it_too(name: str, place: Scene) -> None:
    done = run_limited(*ALL[name].build(place))
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    check_untouched(place, done.stdout + done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pipe", "device", "hour"])
def test_a_shard_that_turned_hostile_stops_the_training(kind: str, place: Scene) -> None:
    """The index is sound and says what is there; the bytes behind it are not."""
    command = hostile.training_on_hostile_shard(kind, place)
    done = run_limited(*command)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr and "recordings in split train cannot be read" in done.stderr, (
        done.stderr
    )
    check_untouched(place, done.stdout + done.stderr)


@pytest.mark.slow
def test_a_run_folder_from_elsewhere_writes_nothing_elsewhere(place: Scene) -> None:
    """Somebody sends a run to go on with, in which every file is a link to one of yours."""
    folder = write_shard_set(place.folder / "set")
    command = ["train", f"data.path={folder}", *SETTINGS, "wandb.mode=disabled", "trainer.max_steps=3"]
    assert run_limited(*command).returncode == 0
    [run] = Path("runs").iterdir()
    bystander = place.outside / "secret.txt"
    for name in ("config.yaml", "git.json", "git.diff"):
        (run / name).unlink()
        (run / name).symlink_to(bystander)
    done = run_limited(*command[:-1], "trainer.max_steps=5")
    assert done.returncode == 0, done.stderr
    check_untouched(place, done.stdout)
    mine = place.folder / "metrics of mine.jsonl"
    (run / "metrics.jsonl").rename(mine)
    (run / "metrics.jsonl").symlink_to(mine)
    before = mine.read_bytes()
    done = run_limited(*command[:-1], "trainer.max_steps=7")
    assert done.returncode == 2 and "metrics.jsonl is a link" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and mine.read_bytes() == before


@pytest.mark.slow
def test_going_on_from_a_hostile_checkpoint_runs_no_code(place: Scene) -> None:
    folder = write_shard_set(place.folder / "set")
    command = ["train", f"data.path={folder}", *SETTINGS, "trainer.max_steps=3"]
    assert run_limited(*command).returncode == 0
    [path] = Path("runs").glob("*/checkpoints/*.ckpt")
    content = torch.load(path, weights_only=True)
    torch.save({**content, "callbacks": place.payload}, path)
    checksum_path(path).write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    done = run_limited(*command[:-1], "trainer.max_steps=5")
    assert done.returncode == 2 and CODE in done.stderr and "Traceback" not in done.stderr
    check_untouched(place, done.stdout)


# --- keys, tokens and passwords ---

ENVIRONMENT = {
    "WANDB_API_KEY": "planted5wandb9key" * 2 + "abcdef",
    "AWS_SECRET_ACCESS_KEY": "planted/aws+secret/7Qm2xXw0",
    "AWS_SESSION_TOKEN": "planted-aws-session-4821",
    "HF_TOKEN": "hf_plantedHuggingFaceToken0123456789",
    "MY_DATABASE_PASSWORD": "planted-database-password",
}
URL_PASSWORD = "planted-url-password-66"
IN_THE_DIFF = {
    "assigned": ("API_KEY = '{}'", "planted-key-in-the-code"),
    "in a config": ('"auth_token": "{}"', "planted-token-in-a-config"),
    "of a known form": ("print('{}')", "ghp_PlantedGitHubTokenPlantedGitHubToken"),
    "in a URL": ("git clone https://me:{}@example.org/x", "planted-password-of-a-clone"),
    "also in the environment": ("# {}", ENVIRONMENT["MY_DATABASE_PASSWORD"]),
}


def commit_and_change(folder: Path) -> None:
    """A repository whose tracked file was changed since: now it has keys in it."""
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org"]
    file = folder / "settings.py"
    file.write_text("num_tokens = 512\n")
    for arguments in (["init", "-q"], ["add", "settings.py"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True, capture_output=True)
    file.write_text(
        "num_tokens = 1024\n" + "".join(line.format(key) + "\n" for line, key in IN_THE_DIFF.values())
    )


@pytest.mark.slow
def test_no_planted_key_is_in_any_file_of_a_run_or_an_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    shards = write_shard_set(tmp_path / "served" / "set", train=6, val=2)
    (shards / "train" / "shard-000001.tar").unlink()  # messages about it name the place
    second = write_shard_set(tmp_path / "second", train=2, val=1, seed=1)
    here = tmp_path / "here"
    here.mkdir()
    commit_and_change(here)
    with serving(tmp_path / "served") as server:
        url = server.url.replace("://", f"://me:{URL_PASSWORD}@") + "/set"
        settings = ("wandb.mode=offline", "samples.every_n_steps=3", "samples.count=1", "samples.seconds=0.1")
        limits = ("samples.prompt_seconds=0.02", "trainer.max_steps=6", "data.max_bad_fraction=1")
        path = f"data.path={{'{url}': 2, {second}: 1}}"
        text = train(Path("unused"), here, path, "train.repository=true", *settings, *limits)
    run = the_run(here)
    assert cli.main(["export", str(run.path), "--out", str(tmp_path / "out")]) == 0

    secrets = [*ENVIRONMENT.values(), URL_PASSWORD, *(key for _, key in IN_THE_DIFF.values())]
    files = [path for folder in (run.path, tmp_path / "out") for path in folder.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files}
    assert {".ckpt", ".wandb", ".yaml", ".diff", ".jsonl", ".safetensors", ".md", ".wav"} <= kinds, (
        "all is looked at"
    )
    contents = {path: path.read_bytes() for path in files}
    found = [
        (path, secret)
        for path, content in contents.items()
        for secret in secrets
        if secret.encode() in content
    ]
    assert not found
    assert not [secret for secret in secrets if secret in text]
    assert "shard-000001.tar" in text and (run.path / "bad_recordings.jsonl") in files

    assert "num_tokens = 1024" in (run.path / "repository.diff").read_text(), (
        "what only sounds like a key stays"
    )
    for path in (run.config, tmp_path / "out" / "config.yaml"):
        assert load_config([path]).data.crop_samples == 1000, "still a config"

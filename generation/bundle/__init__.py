"""The bundle: the folder that serving runs from, as one object, after every check of it.

`model_export` writes a bundle; `docs/bundle_format.md` describes the format. `load_bundle` is the one way in:

    loading         the bundle as an object, and the order of the checks
    files           names, sizes, hashes, links that leave the folder
    architecture    bounds of the sizes and ids in the manifest
    manifest        the manifest's other sections
    embedder        the section and the files of the embedder
    pointer         the section and the file of the pointer
    tokenizer       the tokenizer against the model
    graph_checks    both graphs and the token embedding: graph_file (what a file says) against graphs (what it must say)
"""

from generation.bundle.architecture import Architecture, SpecialTokens
from generation.bundle.embedder import embedder_section
from generation.bundle.files import (
    DECODER,
    EMBEDDER_FILES,
    EMBEDDER_FOLDER,
    EMBEDDINGS,
    ENCODER,
    FILES,
    MANIFEST,
    MOST_BYTES,
    POINTER,
    SCHEMA_VERSION,
    TOKENIZER,
    content_version,
    file_sha256,
)
from generation.bundle.loading import Bundle, load_bundle
from generation.bundle.manifest import PRECISIONS

__all__ = [
    "DECODER", "EMBEDDER_FILES", "EMBEDDER_FOLDER", "EMBEDDINGS", "ENCODER", "FILES", "MANIFEST", "MOST_BYTES",
    "POINTER", "PRECISIONS", "SCHEMA_VERSION", "TOKENIZER",
    "Architecture", "Bundle", "SpecialTokens", "content_version", "embedder_section", "file_sha256", "load_bundle",
]  # fmt: skip

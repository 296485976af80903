"""Whether attention that is to be kept lies beside its embedding, which is valid with and without it."""

from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.storage.hdf5 import stored_fingerprint
from atlaspatch_core.storage.schema import attention_of
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import OutputSpec

TO_ADD = "its attention is to be computed from stored features"


def lacks_attention(store: Store, stem: str, stage: OutputSpec) -> bool:
    """Tell whether a slide has an embedding without the attention that is to be kept. Raises UnreadableOutput."""
    if not (isinstance(stage.encoder, SlideEncoder) and stage.encoder.attention and stage.geometry):
        return False
    path = store.h5(stem, stage.geometry.name)
    if not stage.geometry.keep_attention or not path.exists():
        return False
    embedding = stored_fingerprint(path, stage.dataset)
    return embedding is not None and stored_fingerprint(path, attention_of(stage.dataset)) != embedding

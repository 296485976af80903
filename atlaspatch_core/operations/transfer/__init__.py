"""Results on their way to a bucket and back, whole: by a manifest that is replaced last."""

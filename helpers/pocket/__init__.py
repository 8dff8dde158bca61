"""Pocket: real pretrained weights that run on two CPU cores, trimmed to the vocabulary of Spanish."""

from helpers.pocket.gemma import base, joined, read
from helpers.pocket.vocabulary import needed, trim

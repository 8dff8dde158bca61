"""Pocket: real pretrained weights that run on two CPU cores, trimmed to the vocabulary of Spanish."""

from helpers.pocket.gemma import base, folder, joined, read, spanish
from helpers.pocket.vocabulary import needed, trim

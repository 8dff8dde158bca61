"""What a teacher needs for a class: an edition for students, a guide with minutes and plans, and one zip."""

from helpers.workshop.guide import guide_text, mistakes
from helpers.workshop.pack import checkpoints, pack_zip, wheels, write
from helpers.workshop.pages import exercises, sections, student
from helpers.workshop.plans import all_plans, measured, minutes, rule

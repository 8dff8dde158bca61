"""What several test files need: a fine-tuning in one call, a module that keeps silent, and a GGUF with
another header.
"""

from dataclasses import asdict
from types import SimpleNamespace

import gguf
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from trl import SFTConfig

from helpers import train
from helpers.export import read_header
from helpers.files import write_json


def fine_tuned(rows, out, profile, *, base=None, task="sft", seed=0, epochs=1, updates=-1, **settings):
    """Train `rows` (chats, or plain texts) from the profile's base into `out`; returns the trainer's record."""
    rows = [row if isinstance(row, dict) else {"text": row} for row in rows]
    arguments = {
        "learning_rate": getattr(profile, task)["learning_rate"],
        "max_length": profile.max_length,
        "seed": seed,
    }
    arguments["lr_scheduler_type"] = "cosine"
    length = {"num_train_epochs": epochs, "max_steps": updates}
    model, tokenizer = train.load(profile, base, seed)
    config = SFTConfig(**arguments, **length, **settings, **train.machine(profile, task))
    trainer = train.SFTTrainer(
        model, processing_class=tokenizer, train_dataset=Dataset.from_list(rows), args=config
    )
    trainer.train()
    train.merge_and_save(trainer.model, tokenizer, out, profile)
    write_json(out / "training.json", asdict(trainer.record))
    return trainer.record


def with_lora(profile):
    """The profile's base in float32 with PEFT's LoRA on it, as the library makes it."""
    sizes = {"r": profile.lora["r"], "lora_alpha": profile.lora["alpha"]}
    config = LoraConfig(target_modules=list(train.LORA_TARGETS["lfm2"]), task_type="CAUSAL_LM", **sizes)
    return get_peft_model(train.load_model(profile.base), config)


class Silent:
    """Stands for a module whose functions only show something; a prediction stays where it begins."""

    def predict(self, question, default=0.5):
        return SimpleNamespace(value=default)

    def __getattr__(self, name):
        return lambda *arguments, **more: None


def rewrite_gguf(whole, out, changed):
    """A copy of a GGUF with other values for some of its keys; the weights stay as they are."""
    header, reader = read_header(whole), gguf.GGUFReader(whole)
    assert not [key for key in changed if key not in header.metadata]
    writer = gguf.GGUFWriter(out, header.metadata["general.architecture"])
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, changed.get(name, header.metadata[name]), field.types[0], inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

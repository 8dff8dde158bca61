"""What several test files need: a fine-tuning in one call, and a module that keeps silent."""

from datasets import Dataset
from peft import LoraConfig, get_peft_model
from trl import SFTConfig

from helpers import train


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
    train.merge_and_save(trainer.model, base or profile.base, tokenizer, out, profile)
    trainer.record.save(out)
    return trainer.record


def with_lora(profile):
    """The profile's base in float32 with PEFT's LoRA on it, as the library makes it."""
    sizes = {"r": profile.lora["r"], "lora_alpha": profile.lora["alpha"]}
    config = LoraConfig(target_modules=list(train.LFM2_TARGETS), task_type="CAUSAL_LM", **sizes)
    return get_peft_model(train.load_model(profile.base), config)


class Silent:
    """Stands for a module whose functions only show something."""

    def __getattr__(self, name):
        return lambda *arguments, **more: None

"""The training path: LoRA where it belongs, honest arguments, and the control that shows the recipe works
when the data does.
"""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tools import fine_tuned, with_lora
from transformers import AutoModelForCausalLM, Lfm2Config
from trl import SFTConfig

from helpers import cases, evaluate, train
from helpers.files import DATA, LabError, read_json
from helpers.train import fast, hardware, loading

NANO = train.profile_named("nano")


def test_lora_sits_on_every_linear_layer_of_lfm2_and_trains_only_itself():
    model, _ = train.load(NANO)
    adapted = {name.split(".")[-2] for name, _ in model.named_modules() if name.endswith(".lora_A")}
    assert adapted == set(train.LORA_TARGETS["lfm2"])
    assert all("lora" in name for name, weight in model.named_parameters() if weight.requires_grad)


def test_the_loss_falls_on_the_completion_only():
    """A model whose prompts change but whose completions do not has the same number of trained tokens."""
    rows = cases.chat_rows(cases.write_diverse(4, 0))
    tokenizer = train.load_tokenizer(NANO.base)
    from datasets import Dataset
    from trl import SFTTrainer

    arguments = SFTConfig(max_length=NANO.max_length, **train.machine(NANO))
    trainer = SFTTrainer(
        model=train.load_model(NANO.base),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        trained = tokenizer.decode(ids[labels != -100])
        assert trained.startswith("Nivel de Urgencia:") and trained.rstrip().endswith("<|im_end|>")


def test_a_row_longer_than_the_limit_is_refused_and_not_cut(tmp_path):
    short = dataclasses.replace(NANO, max_length=40)
    with pytest.raises(LabError, match="max_length=40"):
        fine_tuned(cases.chat_rows(cases.write_diverse(4, 0)), tmp_path, short)


def test_the_adapter_is_merged_into_the_base_in_full_precision(tmp_path):
    """A bug this guards against: training on bf16 copies of frozen weights and saving those copies."""

    fine_tuned(cases.chat_rows(cases.write_diverse(48, 0)), tmp_path / "out", NANO)
    base, merged = train.load_model(NANO.base).state_dict(), train.load_model(tmp_path / "out").state_dict()
    assert torch.equal(base["model.embed_tokens.weight"], merged["model.embed_tokens.weight"])
    changed = [name for name in base if not torch.equal(base[name], merged[name])]
    assert changed and all(any(target in name for target in train.LORA_TARGETS["lfm2"]) for name in changed)


@pytest.mark.parametrize("engine", ["transformers", "unsloth"])
def test_the_adapter_is_merged_in_float32_also_where_training_holds_the_base_in_16_bits(
    tmp_path, monkeypatch, engine
):
    """In 16 bits a small change of a large weight is rounded away (peft#1388)."""
    monkeypatch.setenv("TRIAGE_PRECISION", "bf16")
    hardware.choose_hardware.cache_clear()
    model, tokenizer = train.load(NANO)
    hardware.choose_hardware.cache_clear()
    layers = {name: one for name, one in model.named_modules() if hasattr(one, "get_delta_weight")}
    for one in layers.values():
        assert one.base_layer.weight.dtype == torch.bfloat16
        torch.nn.init.normal_(one.lora_B["default"].weight, std=0.002)
    profile = dataclasses.replace(NANO, engine=engine, save_dtype="float32")
    train.merge_and_save(model, tokenizer, tmp_path, profile)
    before, after = train.load_model(NANO.base).state_dict(), train.load_model(tmp_path).state_dict()
    for name, one in layers.items():
        weight = f"{name.removeprefix('base_model.model.')}.weight"
        change = after[weight] - before[weight]
        assert torch.allclose(change, one.get_delta_weight("default"), atol=1e-6), weight


def test_on_a_card_without_bf16_the_base_is_in_half_precision_and_the_adapter_is_not(monkeypatch):
    """A step scaled for fp16 cannot be taken on fp16 weights: `Attempting to unscale FP16 gradients` (peft#341)."""
    monkeypatch.setattr(loading, "working_dtype", lambda: torch.float16)
    monkeypatch.setenv("TRIAGE_PRECISION", "fp32")
    hardware.choose_hardware.cache_clear()
    model, _ = train.load(NANO)
    hardware.choose_hardware.cache_clear()
    trained = {weight.dtype for weight in model.parameters() if weight.requires_grad}
    frozen = {weight.dtype for weight in model.parameters() if not weight.requires_grad}
    assert (trained, frozen) == ({torch.float32}, {torch.float16})


@pytest.mark.parametrize("name", ["colab", "gpu"])
@pytest.mark.parametrize("engine", ["transformers", "unsloth"])
def test_the_1_2b_model_trains_11_108_352_parameters(monkeypatch, name, engine):
    """The shapes of LFM2.5-1.2B's own configuration, on the device that holds no weights."""
    with torch.device("meta"):
        whole = AutoModelForCausalLM.from_config(Lfm2Config(**read_json(DATA / "lfm2.5-1.2b.json")["config"]))
    assert whole.num_parameters() == 1_170_340_608

    unsloth = SimpleNamespace(
        from_pretrained=lambda name, **_: (whole, None),
        get_peft_model=lambda model, random_state, use_gradient_checkpointing, **lora: get_peft_model(
            model, LoraConfig(**lora)
        ),
    )
    monkeypatch.setattr(loading, "import_unsloth", lambda: unsloth)
    monkeypatch.setattr(loading, "load_model", lambda _: whole)
    monkeypatch.setattr(loading, "load_tokenizer", lambda _: None)
    model, _ = train.load(dataclasses.replace(train.profile_named(name), engine=engine))
    assert sum(one.numel() for one in model.parameters() if one.requires_grad) == 11_108_352


@pytest.mark.parametrize("source", ["the base", "a saved tokenizer"])
def test_a_tokenizer_is_saved_as_transformers_4_reads_it(tmp_path, source):
    base = train.profile_named("nano").base
    known = train.load_tokenizer(base)
    loading.save_tokenizer(known, tmp_path)
    folder = tmp_path if source == "a saved tokenizer" else Path(base)
    config = read_json(folder / "tokenizer_config.json")
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["additional_special_tokens"] and not isinstance(config.get("extra_special_tokens"), list)
    again = train.load_tokenizer(folder)
    assert again.all_special_tokens == known.all_special_tokens and again.pad_token == known.pad_token
    chat = [{"role": "user", "content": "¿Y el niño? 🚑 <|im_end|>"}]
    assert again.apply_chat_template(chat, tokenize=False) == known.apply_chat_template(chat, tokenize=False)
    assert again.encode("<|im_start|> así") == known.encode("<|im_start|> así")


def test_an_empty_data_set_is_refused(tmp_path):
    with pytest.raises(LabError, match="empty"):
        fine_tuned([], tmp_path, NANO)


def test_continued_pretraining_lowers_the_loss_on_what_it_reads(tmp_path):
    texts = [f"El paracetamol se toma cada ocho horas, dosis {number} del día." for number in range(32)]
    record = fine_tuned(texts, tmp_path / "cpt", NANO, task="cpt", epochs=4)
    assert record.losses[-1][1] < record.losses[0][1]
    assert evaluate.load(tmp_path / "cpt").model.config.model_type == "lfm2"


def test_the_same_seed_trains_the_same_model(tmp_path):
    rows = cases.chat_rows(cases.write_diverse(16, 0))
    losses = [dict(fine_tuned(rows, tmp_path / str(run), NANO, epochs=3, seed=5).losses) for run in range(2)]
    assert losses[0] == pytest.approx(losses[1])


def test_a_base_that_cannot_be_fetched_gets_one_clear_message():
    with pytest.raises(LabError, match=r"Could not fetch nobody/nothing.*TRIAGE_PROFILE=nano"):
        train.load_model("nobody/nothing")


def test_a_damaged_base_gets_one_clear_message(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(LabError, match="cannot be read"):
        train.load_model(tmp_path)
    for one in (DATA / "nano-base").iterdir():
        (tmp_path / one.name).write_bytes(one.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    with pytest.raises(LabError, match=r"cannot be read \(SafetensorError\)"):
        train.load_model(tmp_path)


def test_the_hardware_choice_comes_with_its_reason(monkeypatch):
    monkeypatch.delenv("TRIAGE_PRECISION", raising=False)  # the suite also runs with fp32 forced
    hardware.choose_hardware.cache_clear()
    monkeypatch.setattr(hardware, "_cpu_flags", lambda: {"avx2"})
    plain = hardware.choose_hardware()
    assert plain.precision == "fp32" and "no bf16" in plain.reason
    hardware.choose_hardware.cache_clear()
    monkeypatch.setattr(hardware, "_cpu_flags", lambda: {"avx512_bf16"})
    assert hardware.choose_hardware().arguments()["bf16"] is True
    hardware.choose_hardware.cache_clear()


def test_unsloth_is_asked_for_by_name_and_its_absence_explained():
    try:
        import unsloth  # noqa: F401
    except ImportError:
        with pytest.raises(LabError, match=r"pip install -e .*gpu"):
            train.import_unsloth()


class FakeUnsloth:
    """Takes what `load` asks of Unsloth, so that the GPU road is driven where there is no GPU."""

    asked: ClassVar[list[dict]] = []

    @classmethod
    def from_pretrained(cls, model_name, max_seq_length, load_in_4bit, load_in_16bit):
        cls.asked.append(locals())
        return SimpleNamespace(config=SimpleNamespace(model_type="lfm2")), "a tokenizer"

    @classmethod
    def get_peft_model(cls, model, **arguments):
        cls.asked.append(arguments)
        return model


def test_on_a_gpu_the_same_call_goes_through_unsloth_with_the_same_adapter(monkeypatch):
    monkeypatch.setattr(loading, "import_unsloth", lambda: FakeUnsloth)
    profile = train.profile_named("gpu")
    model, tokenizer = train.load(profile, seed=3)
    loaded, adapted = FakeUnsloth.asked
    assert loaded["model_name"] == profile.base and loaded["max_seq_length"] == profile.max_length
    assert (loaded["load_in_4bit"], loaded["load_in_16bit"]) == (False, True)
    assert set(adapted["target_modules"]) == set(train.LORA_TARGETS["lfm2"]) and adapted["random_state"] == 3
    assert (adapted["r"], adapted["lora_alpha"]) == (profile.lora["r"], profile.lora["alpha"])
    assert tokenizer == "a tokenizer" and model.source == profile.base


def test_the_fused_adapter_gives_the_outputs_and_gradients_of_pefts_own():
    ours = with_lora(NANO)
    for name, weight in ours.named_parameters():
        if "lora_B" in name:  # zero at the start, where a wrong gradient would hide
            torch.nn.init.normal_(weight, std=0.02)
    ids = torch.randint(5, 3000, (2, 17), generator=torch.Generator().manual_seed(0))

    def run():
        ours.zero_grad()
        loss = ours(input_ids=ids, labels=ids).loss
        loss.backward()
        return loss.item(), {
            name: weight.grad.clone() for name, weight in ours.named_parameters() if weight.grad is not None
        }

    plain_loss, plain = run()
    fast.fuse_lora(ours)
    fused_loss, fused = run()
    assert fused_loss == pytest.approx(plain_loss, abs=1e-5)
    assert set(fused) == set(plain) and len(fused) > 40
    for name, gradient in plain.items():
        assert torch.allclose(fused[name], gradient, atol=1e-5, rtol=1e-3), name
    with ours.disable_adapter(), torch.no_grad():  # the reference of a preference loss
        bare = ours(input_ids=ids).logits
    with torch.no_grad():
        assert torch.allclose(bare, train.load_model(NANO.base)(input_ids=ids).logits, atol=1e-4)


def test_our_loss_is_the_models_own_over_the_answers_tokens():
    from datasets import Dataset

    rows = cases.chat_rows(cases.write_diverse(4, 0))
    arguments = SFTConfig(max_length=NANO.max_length, **(train.machine(NANO) | {"bf16": False}))
    trainer = train.SFTTrainer(
        with_lora(NANO),
        processing_class=train.load_tokenizer(NANO.base),
        train_dataset=Dataset.from_list(rows),
        args=arguments,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    trained = int((batch["labels"][:, 1:] != -100).sum())
    ours = trainer.compute_loss(trainer.model, batch, num_items_in_batch=trained)
    with torch.no_grad():
        own = train.load_model(NANO.base)(**batch).loss
    assert ours.item() == pytest.approx(own.item(), rel=1e-4)
    assert trainer.tokens == int(batch["attention_mask"].sum())


def test_a_configuration_made_after_the_trainer_does_not_break_its_training(tmp_path):
    """accelerate's shared state is reset by every new configuration; a trainer built before it must still
    train.
    """
    from datasets import Dataset

    model, tokenizer = train.load(NANO)
    rows = Dataset.from_list(cases.chat_rows(cases.write_diverse(4, 0)))
    arguments = {
        "max_length": NANO.max_length,
        "max_steps": 1,
        **train.machine(NANO),
        "output_dir": str(tmp_path),
    }
    trainer = train.SFTTrainer(
        model, processing_class=tokenizer, train_dataset=rows, args=SFTConfig(**arguments)
    )
    SFTConfig(**arguments)
    trainer.train()
    assert trainer.record.steps == 1


def test_a_precision_that_no_cpu_has_is_refused_by_name(monkeypatch):
    hardware.choose_hardware.cache_clear()
    monkeypatch.setenv("TRIAGE_PRECISION", "fp8")
    with pytest.raises(LabError, match="TRIAGE_PRECISION='fp8'"):
        hardware.choose_hardware()
    monkeypatch.setenv("TRIAGE_PRECISION", "fp32")
    assert hardware.choose_hardware().precision == "fp32"
    hardware.choose_hardware.cache_clear()


def test_what_a_trainer_has_learnt_answers_in_memory_as_it_does_from_disk(tmp_path):
    from datasets import Dataset

    examples = cases.write_diverse(16, 0)
    model, tokenizer = train.load(NANO)
    arguments = {"max_length": NANO.max_length, "max_steps": 3, "learning_rate": 4e-3, **train.machine(NANO)}
    rows = Dataset.from_list(cases.chat_rows(examples))
    trainer = train.SFTTrainer(
        model, processing_class=tokenizer, train_dataset=rows, args=SFTConfig(**arguments)
    )
    trainer.train()
    train.merge_and_save(trainer.model, tokenizer, tmp_path / "out", NANO)
    inside = evaluate.label_probabilities(train.merged(trainer), examples[:4])
    outside = evaluate.label_probabilities(tmp_path / "out", examples[:4])
    for one, other in zip(inside, outside, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_the_training_of_a_large_model_is_announced_with_minutes_and_memory_and_not_changed(
    monkeypatch, capsys
):
    from helpers.train import trainers

    rows = Dataset.from_list(cases.chat_rows(cases.write_diverse(32, seed=0)))
    losses, handed = [], []
    monkeypatch.setattr(fast, "hand_back_memory", lambda: handed.append(large))
    for large in (10**9, 0):
        monkeypatch.setattr(trainers, "LARGE", large)
        profile = train.profile_named("nano")
        model, tokenizer = train.load(profile, seed=0)
        args = SFTConfig(
            max_steps=8, learning_rate=1e-3, seed=0, **train.machine(profile) | {"logging_steps": 1}
        )
        trainer = train.SFTTrainer(model, processing_class=tokenizer, train_dataset=rows, args=args)
        trainer.train()
        losses.append((trainer.record.losses, trainer.record.tokens))
    assert "min and" in capsys.readouterr().out
    assert losses[0] == losses[1]
    assert handed == [0, 0]  # every fourth step, of the large one alone


@pytest.mark.parametrize(("large", "kept"), [(10**9, None), (0, "16")])
def test_few_prepared_kernels_are_kept_of_a_large_model_alone(monkeypatch, large, kept):
    monkeypatch.setattr(fast, "LARGE", large)
    monkeypatch.setattr(fast.os, "environ", {})
    train.load_model(NANO.base)
    assert fast.os.environ.get("ONEDNN_PRIMITIVE_CACHE_CAPACITY") == kept

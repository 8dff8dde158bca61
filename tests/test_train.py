"""The training path: LoRA where it belongs, honest arguments, and the control that shows the recipe works when the data does."""

import dataclasses
import inspect

import pytest
from trl import SFTConfig

from helpers import cases, evaluate, train
from helpers.files import LabError
from helpers.train import fast, hardware, loading, trainers

NANO = train.profile_named("nano")


def test_every_argument_we_pass_exists_in_the_installed_trl(tmp_path):
    accepted = set(inspect.signature(SFTConfig).parameters)
    for name in ("nano", "colab", "gpu"):
        profile = train.profile_named(name)
        for settings in (profile.sft, profile.cpt):
            assert set(trainers.sft_arguments(profile, settings, tmp_path, 1, 0, 100)) <= accepted


def test_lora_sits_on_every_linear_layer_of_lfm2_and_trains_only_itself():
    from peft import get_peft_model

    model = get_peft_model(train.load_model(NANO.base), loading.lora_config(NANO))
    adapted = {name.split(".")[-2] for name, _ in model.named_modules() if name.endswith(".lora_A")}
    assert adapted == set(train.LFM2_TARGETS)
    assert all("lora" in name for name, weight in model.named_parameters() if weight.requires_grad)


def test_the_loss_falls_on_the_completion_only(tmp_path):
    """A model whose prompts change but whose completions do not has the same number of trained tokens."""
    rows = cases.chat_rows(cases.write_diverse(4, 0))
    tokenizer = train.load_tokenizer(NANO.base)
    from datasets import Dataset
    from trl import SFTTrainer

    arguments = SFTConfig(**trainers.sft_arguments(NANO, NANO.sft, tmp_path, 1, 0, 1))
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
        train.sft(cases.chat_rows(cases.write_diverse(4, 0)), NANO.base, tmp_path, short, epochs=1)


def test_the_adapter_is_merged_into_the_base_in_full_precision(tmp_path):
    """A bug this guards against: training on bf16 copies of frozen weights and saving those copies."""
    import torch

    train.sft(cases.chat_rows(cases.write_diverse(48, 0)), NANO.base, tmp_path / "out", NANO, epochs=1)
    base, merged = train.load_model(NANO.base).state_dict(), train.load_model(tmp_path / "out").state_dict()
    assert torch.equal(base["model.embed_tokens.weight"], merged["model.embed_tokens.weight"])
    changed = [name for name in base if not torch.equal(base[name], merged[name])]
    assert changed and all(any(target in name for target in train.LFM2_TARGETS) for name in changed)


def test_an_empty_data_set_is_refused(tmp_path):
    with pytest.raises(LabError, match="empty"):
        train.sft([], NANO.base, tmp_path, NANO, epochs=1)


def test_continued_pretraining_lowers_the_loss_on_what_it_reads(tmp_path):
    texts = [f"El paracetamol se toma cada ocho horas, dosis {number} del día." for number in range(32)]
    record = train.cpt(texts, NANO.base, tmp_path / "cpt", NANO, epochs=4)
    assert record.losses[-1][1] < record.losses[0][1]
    assert evaluate.load(tmp_path / "cpt").model.config.model_type == "lfm2"


def test_the_same_seed_trains_the_same_model(tmp_path):
    rows = cases.chat_rows(cases.write_diverse(16, 0))
    losses = [
        dict(train.sft(rows, NANO.base, tmp_path / str(run), NANO, epochs=3, seed=5).losses)
        for run in range(2)
    ]
    assert losses[0] == pytest.approx(losses[1])


def test_a_base_that_cannot_be_fetched_gets_one_clear_message():
    with pytest.raises(LabError, match=r"Could not fetch nobody/nothing.*TRIAGE_PROFILE=nano"):
        train.load_model("nobody/nothing")


def test_a_damaged_base_gets_one_clear_message(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(LabError, match="cannot be read"):
        train.load_model(tmp_path)


def test_the_hardware_choice_comes_with_its_reason(monkeypatch):
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


def test_unsloth_accepts_every_argument_we_pass():
    pytest.importorskip("unsloth", reason="Unsloth is the gpu extra; it is not installed here")
    fast, profile = train.import_unsloth(), train.profile_named("gpu")
    for function, arguments in (
        (fast.from_pretrained, loading.unsloth_load_arguments("x", profile)),
        (fast.get_peft_model, loading.unsloth_lora_arguments(profile, 0)),
    ):
        parameters = inspect.signature(function).parameters
        assert set(arguments) <= set(parameters) or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def test_the_fused_adapter_gives_the_outputs_and_gradients_of_pefts_own():
    import torch
    from peft import get_peft_model

    ours = get_peft_model(train.load_model(NANO.base), loading.lora_config(NANO))
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


def test_our_loss_is_the_models_own_over_the_answers_tokens(tmp_path):
    import torch
    from datasets import Dataset

    rows = cases.chat_rows(cases.write_diverse(4, 0))
    arguments = SFTConfig(**{**trainers.sft_arguments(NANO, NANO.sft, tmp_path, 1, 0, 1), "bf16": False})
    trainer = fast.AnswerLossTrainer(
        model=train.load_model(NANO.base),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=train.load_tokenizer(NANO.base),
        peft_config=loading.lora_config(NANO),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    trained = int((batch["labels"][:, 1:] != -100).sum())
    ours = trainer.compute_loss(trainer.model, batch, num_items_in_batch=trained)
    with torch.no_grad():
        own = train.load_model(NANO.base)(**batch).loss
    assert ours.item() == pytest.approx(own.item(), rel=1e-4)
    assert trainer.tokens == int(batch["attention_mask"].sum())


@pytest.mark.training
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_balanced_consistent_data_teaches_the_levels_and_the_blogs_data_teaches_rojo(seed, tmp_path):
    """The control: same base, same LoRA, same learning rate; only the data differ. Judged on dev wordings that training never showed."""
    prompts, counts = cases.evaluation_prompts("dev"), NANO.counts
    balanced = cases.write_diverse(counts["balanced"], seed)
    train.sft(
        cases.chat_rows(balanced),
        NANO.base,
        tmp_path / "balanced",
        NANO,
        epochs=counts["balanced_epochs"],
        seed=seed,
    )
    imbalanced = cases.write_from_templates(counts["generated"], seed)[: counts["imbalanced"]]
    train.sft(
        cases.chat_rows(imbalanced),
        NANO.base,
        tmp_path / "imbalanced",
        NANO,
        epochs=counts["imbalanced_epochs"],
        seed=seed,
    )
    cured, broken = (
        evaluate.score(prompts, [answer.text for answer in evaluate.generate(tmp_path / name, prompts)])
        for name in ("balanced", "imbalanced")
    )
    print(
        f"seed {seed}: balanced {cured.accuracy}, primary {cured.primary}; imbalanced ROJO {broken.shares['ROJO']}"
    )
    assert cured.accuracy.value >= 0.70
    assert broken.shares["ROJO"].value >= 0.95

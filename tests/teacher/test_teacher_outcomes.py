"""What follows from what a provider sends back: documented error bodies replayed, thinking in every spelling,
garbage.
"""

import re

import pytest
from servers import Scripted, always, chats, completion, lines

from helpers import teacher
from helpers.files import LabError
from helpers.teacher.outcomes import _asked

RESET = "usage limit exceeded, 5-hour usage limit reached for Token Plan Starter (0/0 used), resets at 2026-05-15T15:00:00Z (2056)"


def plain(message, code=None, kind=None, **more):
    return {"error": {"message": message, "type": kind, "param": None, "code": code} | more}


def anthropic(kind, message):
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "065651becc"}


def base(code, message):
    return {"choices": None, "base_resp": {"status_code": code, "status_msg": message}}


# provider, HTTP status, body, why the job stops
FATAL = [
    ("minimax", 500, anthropic("api_error", "insufficient balance (1008)"), "no credit"),  # MiniMax-M2#62
    ("minimax", 429, plain("insufficient balance (1008)", kind="insufficient_balance_error"), "no credit"),
    ("minimax", 200, base(1008, "insufficient balance"), "no credit"),
    ("minimax", 429, anthropic("rate_limit_error", RESET), "limit is used up"),  # MiniMax-M2.7#36
    ("minimax", 200, base(2056, "usage limit exceeded"), "limit is used up"),
    ("minimax", 200, base(1004, "login fail: carry the API secret key"), "key was refused"),
    ("minimax", 200, base(2049, "invalid api key"), "key was refused"),
    ("minimax", 200, base(2013, "invalid params, unknown model 'minimax-m2'"), "not offered"),
    ("minimax", 400, anthropic("bad_request_error", "invalid params, unknown model 'x' (2013)"), "not offered"),
    ("openai", 401, plain("Incorrect API key provided: sk-x.", "invalid_api_key", "invalid_request_error"), "key was refused"),
    ("openai", 429, plain("You exceeded your current quota, please check your plan and billing details.", "insufficient_quota", "insufficient_quota"), "no credit"),
    ("openai", 404, plain("The model `gpt-x` does not exist or you do not have access to it.", "model_not_found"), "not offered"),
    ("openai", 403, plain("Project `p` does not have access to model `m`", "model_not_found"), "not offered"),
    ("openai", 403, plain("Country, region, or territory not supported", "unsupported_country_region_territory"), "key was refused"),
    ("anthropic", 401, anthropic("authentication_error", "invalid x-api-key"), "key was refused"),
    ("anthropic", 400, anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), "no credit"),
    ("anthropic", 404, anthropic("not_found_error", "model: claude-0"), "no such address"),
    ("deepseek", 402, plain("Insufficient Balance", "invalid_request_error", "unknown_error"), "no credit"),
    ("groq", 400, plain("The model `llama3-70b-8192` has been decommissioned and is no longer supported.", "model_decommissioned"), "not offered"),
    ("openrouter", 402, {"error": {"code": 402, "message": "Insufficient credits. Add more using https://…"}}, "no credit"),
    ("openrouter", 404, {"error": {"code": 404, "message": "No endpoints found for x/y:free."}}, "not offered"),
    ("openrouter", 429, {"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-day."}}, "limit is used up"),
    ("vllm", 404, {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}, "not offered"),
    ("vllm", 404, {"detail": "Not Found"}, "no such address"),
    ("ollama", 404, plain('model "x" not found, try pulling it first', kind="api_error"), "not offered"),
    ("llama.cpp", 401, plain("Invalid API Key", 401, "authentication_error"), "key was refused"),
    ("mistral", 400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"}, "not offered"),
    ("mistral", 401, {"detail": "Unauthorized"}, "key was refused"),
    ("zhipu", 429, {"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}, "no credit"),
    ("moonshot", 429, plain("Your account is not active", kind="exceeded_current_quota_error"), "no credit"),
    ("dashscope", 400, plain("Access denied, please make sure your account is in good standing.", "Arrearage"), "no credit"),
    ("azure", 404, plain("The API deployment for this resource does not exist.", "DeploymentNotFound"), "not offered"),
    ("a proxy", 401, "<html>sign in</html>", "key was refused"),
]  # fmt: skip
# … and this row alone is given up
REFUSED = [
    ("minimax", 200, base(1026, "input new_sensitive")),
    ("minimax", 200, base(1027, "output new_sensitive")),
    ("minimax", 200, base(2013, "invalid params, chat content is empty")),
    ("minimax", 500, anthropic("api_error", "output new_sensitive (1027)")),
    ("minimax", 400, anthropic("invalid_request_error", "invalid params, tool id not found (2013)")),
    ("openai", 400, plain("This model's maximum context length is 4096 tokens.", "context_length_exceeded")),
    ("azure", 400, plain("The response was filtered.", "content_filter", status=400)),
    ("anthropic", 413, anthropic("request_too_large", "Request exceeds the maximum size")),
    ("openrouter", 403, {"error": {"code": 403, "message": "Your input was flagged", "metadata": {"reasons": ["violence"]}}}),
    ("groq", 413, plain("Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 6294", "rate_limit_exceeded", "tokens")),
    ("deepseek", 422, plain("Invalid parameters", "invalid_request_error")),
    ("vllm", 422, {"detail": [{"loc": ["body"], "msg": "field required", "type": "missing"}]}),
    ("llama.cpp", 400, plain("the request exceeds the available context size", 400, "exceed_context_size_error")),
    ("dashscope", 400, plain("Input data may contain inappropriate content.", "data_inspection_failed")),
]  # fmt: skip
# … and the row is asked again, after a pause of everybody where the kind is "wait"
AGAIN = [
    ("minimax", 200, base(1002, "rate limit"), "wait"),
    ("minimax", 200, base(1039, "token limit"), "wait"),
    ("minimax", 200, base(1000, "unknown error"), "retry"),
    ("minimax", 500, anthropic("api_error", "unknown error (1000)"), "retry"),
    ("openai", 429, plain("Rate limit reached for gpt-x on requests per min.", "rate_limit_exceeded"), "wait"),
    ("openai", 503, plain("The engine is currently overloaded, please try again later"), "retry"),
    ("anthropic", 529, anthropic("overloaded_error", "Overloaded"), "retry"),
    ("groq", 498, plain("Flex tier capacity exceeded", "capacity_exceeded"), "retry"),
    ("groq", 429, plain("Rate limit reached for model `x` on tokens per minute (TPM): Please try again in 12ms.", "rate_limit_exceeded", "tokens"), "wait"),
    ("gemini", 429, [{"error": {"code": 429, "message": "You exceeded your current quota. Please retry in 0.01s.", "status": "RESOURCE_EXHAUSTED"}}], "wait"),
    ("mistral", 429, {"object": "error", "message": "Service tier capacity exceeded.", "type": "service_tier_capacity_exceeded", "code": "3505"}, "wait"),
    ("openrouter", 200, {"error": {"code": 502, "message": "Provider returned error"}}, "retry"),
    ("openrouter", 408, {"error": {"code": 408, "message": "Timed out"}}, "retry"),
    ("llama.cpp", 503, plain("Loading model", 503, "unavailable_error"), "retry"),
    ("cloudflare", 524, "<html>A timeout occurred</html>", "retry"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "status", "body", "why"), FATAL)
def test_what_no_second_try_can_mend_stops_the_job_at_the_first_call(tmp_path, provider, status, body, why):
    with Scripted(always(status, body)) as server:
        with pytest.raises(LabError, match=why):
            teacher.Client(server.endpoint(), concurrency=1).run(chats(20), tmp_path, label=None)
        assert len(server.requests) == 1


@pytest.mark.parametrize(("provider", "status", "body"), REFUSED)
def test_a_row_that_the_provider_refuses_is_asked_once_and_counted(tmp_path, provider, status, body):
    def script(number, asked, sent):
        return (status, {}, body) if asked["messages"][0]["content"] == "hola 3" else (200, {}, completion())

    with Scripted(script) as server:
        job = teacher.Client(server.endpoint()).run(chats(6), tmp_path, label=None)
        assert len(server.requests) == 6
    (lost,) = lines(tmp_path / "errors.jsonl")
    assert (job.answered, job.failed) == (5, 1) and f"HTTP {status}" in lost["problem"]


@pytest.mark.parametrize(("provider", "status", "body", "kind"), AGAIN)
def test_a_limit_or_a_hiccup_is_asked_again(tmp_path, provider, status, body, kind):
    with Scripted(
        lambda number, asked, sent: (status, {}, body) if number == 1 else (200, {}, completion())
    ) as server:
        job = teacher.Client(server.endpoint()).run(chats(1), tmp_path, label=None)
        assert len(server.requests) == 2
    assert job.answered == 1


@pytest.mark.parametrize(("provider", "status", "body", "kind"), AGAIN)
def test_a_limit_is_not_held_against_the_row_and_a_hiccup_is(tmp_path, provider, status, body, kind):
    with Scripted(
        lambda number, asked, sent: (status, {}, body) if number == 1 else (200, {}, completion())
    ) as server:
        job = teacher.Client(server.endpoint(), attempts=1).run(chats(1), tmp_path, label=None)
    assert (job.answered, job.failed) == (kind == "wait", kind == "retry")


def test_the_reset_of_a_plan_and_the_day_of_a_price_are_quoted(tmp_path):
    with Scripted(always(429, anthropic("rate_limit_error", RESET))) as server:
        with pytest.raises(LabError, match="resets at 2026-05-15T15:00:00Z"):
            teacher.Client(server.endpoint()).run(chats(3), tmp_path, label=None)
    with Scripted(always(404, plain("The model `MiniMax-M2.5` does not exist", "model_not_found"))) as server:
        endpoint = teacher.described("minimax", base_url=server.endpoint().base_url)
        said = rf"MiniMax-M2.5 is not offered, or no longer offered.*Set another one.*{endpoint.price_date}"
        with pytest.raises(LabError, match=said):
            teacher.Client(endpoint).run(chats(3), tmp_path, label=None)
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", endpoint.price_date)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 9m38.016s. Need more tokens?", 578.016),
        ("Please try again in 50.597142857s.", 50.597142857),
        ("Please retry after 6 seconds.", 6),
        ("try again in 1h2m3s", 3723),
        ("try again in 250ms", 0.25),
        ("Please try again later.", None),
        ("Try again in a while", None),
    ],
)
def test_what_the_words_of_a_limit_ask_to_wait_is_read(words, seconds):
    assert _asked(words) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "name", ["think", "thinking", "THINKING", "mm:think", "thought", "reasoning", "think "]
)
@pytest.mark.parametrize("form", ["<{0}>veo</{0}>bien", "veo\n</{0}>\nbien", "<{0}></{0}>\n\nbien"])
def test_thinking_is_removed_in_every_spelling(tmp_path, name, form):
    with Scripted(always(200, completion(form.format(name)))) as server:
        job = teacher.Client(server.endpoint()).run(chats(1), tmp_path, label=None)
    assert job.answers()[0].text == "bien" and job.answers()[0].thinking


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("[THINK]veo[/THINK]bien", "bien"),
        ("◁think▷veo◁/think▷bien", "bien"),
        ("<|begin_of_thought|>veo<|end_of_thought|>bien", "bien"),
        ("&lt;think&gt;veo&lt;/think&gt;bien", "bien"),
        ("<think foo='1'>veo</think>bien", "bien"),
        ("pienso que bien", "pienso que bien"),
        ("<think>nunca acaba", None),
        ("<think/>bien", None),
        ("<thinking\nbien", None),
        ("veo </think bien", None),
        ("   ", None),
    ],
)
def test_a_row_that_still_holds_a_tag_of_a_thinking_model_is_refused(tmp_path, content, text):
    with Scripted(always(200, completion(content))) as server:
        job = teacher.Client(server.endpoint(), invalid_attempts=2).run(chats(1), tmp_path, label=None)
    answer = job.answers()[0]
    assert (answer.text if answer else None) == text and job.failed == (text is None)


def test_an_answer_that_the_providers_filter_withheld_is_no_answer(tmp_path):
    with Scripted(always(200, completion("", "content_filter"))) as server:
        job = teacher.Client(server.endpoint()).run(chats(1), tmp_path, label=None)
    assert (job.failed, job.requests) == (1, 1)

"""Lines as they stand in diffs, logs and settings: those with a secret in them, and those that only look like it.

Every secret here is made up, and put together from parts, so that nobody who scans this file takes it for one.
"""

from __future__ import annotations

MADE_UP = "Planted0Secret1" * 20


def text(length: int) -> str:
    """So many letters, large and small, and digits."""
    return MADE_UP[:length]


def lower(length: int) -> str:
    """So many hexadecimal digits."""
    return ("deadbeef0123" * 20)[:length]


def upper(length: int) -> str:
    """So many large letters and digits."""
    return MADE_UP.upper()[:length]


def pem(kind: str, mark: str = "", end: str = "\n") -> str:
    """A private key of three lines, each after a mark of a diff."""
    lines = [f"-----BEGIN {kind}-----", *[text(64)] * 3, f"-----END {kind}-----"]
    return end.join(mark + line for line in lines).removeprefix(mark)


JWT = "ey" + f"J{text(20)}." + "ey" + f"J{text(40)}.{text(43)}"
WORD = "correct" + "horse"

FORMS: dict[str, tuple[str, str]] = {
    # name -> (line, with § for what has to go, what has to go)
    "bearer header": ("Authorization: Bearer §", text(30)),
    "bearer in JSON": ('{"Authorization": "Bearer §", "n": 1}', text(30)),
    "basic header": ("curl -H 'Authorization: Basic §' host", text(24) + "=="),
    "token header": ("authorization: token §", lower(40)),
    "proxy header": ("Proxy-Authorization: Basic §", text(24)),
    "header in Python": ('headers["Authorization"] = "Bearer §"', text(30)),
    "key header": ("curl -H 'X-Api-Key: §' host", text(24)),
    "cookie": ("Cookie: §", f"session={text(20)}; csrf={text(12)}"),
    "cookie set": ("Set-Cookie: §", f"sid={text(20)}; Path=/"),
    "bearer alone": ("sent Bearer § to the server", text(30)),
    "GitHub, personal": ("token is §", "gh" + "p_" + text(36)),
    "GitHub, OAuth": ("§", "gh" + "o_" + text(36)),
    "GitHub, user of an app": ("§", "gh" + "u_" + text(36)),
    "GitHub, server": ("§", "gh" + "s_" + text(36)),
    "GitHub, refresh": ("§", "gh" + "r_" + text(76)),
    "GitHub, fine-grained": ("git clone https://host/x # §", "github" + "_pat_" + text(22) + "_" + text(59)),
    "GitLab, personal": ("§", "gl" + "pat-" + text(20)),
    "GitLab, deploy": ("§", "gl" + "dt-" + text(20)),
    "GitLab, runner": ("§", "gl" + "rt-" + text(20)),
    "Slack, bot": ("§", "xo" + "xb-123456789012-" + text(24)),
    "Slack, user": ("§", "xo" + "xp-123456789012-" + text(32)),
    "Slack, app": ("§", "xa" + "pp-1-A0" + text(10).upper() + "-" + lower(40)),
    "Slack, webhook": ("https://hooks.slack.com/services/§", f"T{upper(8)}/B{upper(8)}/{text(24)}"),
    "Google, key": ("https://host/x?v=1 §", "AI" + "za" + text(35)),
    "Google, OAuth": ("§", "ya" + "29." + text(60)),
    "Google, client": ("§", "GOC" + "SPX-" + text(28)),
    "AWS, id": ("§ is used", "AK" + "IA" + upper(16)),
    "AWS, temporary id": ("§ is used", "AS" + "IA" + upper(16)),
    "AWS, secret": ("aws_secret_access_key = §", text(30) + "/+" + text(8)),
    "AWS, session": ("export AWS_SESSION_TOKEN=§", text(100) + "/x=="),
    "JWT": ("got §.", JWT),
    "JWT in a variable": ("jwt = '§'", JWT),
    "Hugging Face": ("note: §", "h" + "f_" + text(34)),
    "npm": ("//registry/:_authToken=§", "np" + "m_" + text(36)),
    "PyPI": ("password = §", "py" + "pi-AgEI" + text(60)),
    "OpenAI": ("§", "s" + "k-proj-" + text(48)),
    "Anthropic": ("§", "s" + "k-ant-api03-" + text(48)),
    "Stripe": ("§", "s" + "k_live_" + text(24)),
    "SendGrid": ("§", "S" + "G." + text(22) + "." + text(43)),
    "Docker": ("docker login -u me # §", "dckr" + "_pat_" + text(27)),
    "W&B": ("wandb login §", lower(40)),
    "W&B in a variable": ("export WANDB_API_KEY=§", lower(40)),
    "Azure": ("DefaultEndpoints=x;AccountKey=§;Suffix=y", text(86) + "=="),
    "PEM, RSA": ("§", pem("RSA PRIV" + "ATE KEY")),
    "PEM, EC": ("§", pem("EC PRIV" + "ATE KEY")),
    "PEM, OpenSSH": ("§", pem("OPENSSH PRIV" + "ATE KEY")),
    "PEM, PKCS 8, in a diff": ("+§\n+end", pem("PRIV" + "ATE KEY", mark="+")),
    "PEM in JSON": ('{"note": "§", "n": 1}', pem("PRIV" + "ATE KEY", end="\\n")),
    "PEM, PGP": ("§", pem("PGP PRIV" + "ATE KEY BLOCK")),
    "PEM, cut": ("§\n next", pem("RSA PRIV" + "ATE KEY").rsplit("\n", 1)[0]),
    "netrc": ("machine api.wandb.ai login user password §", lower(40)),
    "netrc in lines": ("+machine host\n+  login me\n+  password §\n+", WORD),
    "netrc, default": ("default login me password §", WORD),
    "environ": ('os.environ["HF_TOKEN"] = "§"', WORD + "-7"),
    "environ, by default": ("os.environ.setdefault('MY_API_KEY', '§')", WORD + "-7"),
    "setenv": ('monkeypatch.setenv("DB_PASSWORD", "§")', WORD),
    "csh": ("setenv HF_TOKEN §", WORD + "-7"),
    "Dockerfile": ("ENV HF_TOKEN §", WORD + "-7"),
    "digits": ("DB_PASSWORD=§", "20261129"),
    "digits in YAML": ("password: §", "4711471"),
    "digits in JSON": ('{"db_password": §}', "47114711"),
    "words in quotes": ('password = "§"', "correct horse battery staple"),
    "word": ("+PASSWORD=§", WORD),
    "word in YAML": ("-db_password: § # old", WORD),
    "annotated": ('password: str | None = "§"', WORD),
    "compared": ('if password == "§":', WORD),
    "XML": ("<password>§</password>", WORD),
    "secret of a client": ("client_secret: '§'", text(32)),
    "key that looks random": ('key = "§"', text(32)),
    "option": ("tool --password § --verbose", WORD),
    "option with a sign": ("tool --api-key=§", text(20)),
    "curl": ("curl -s -u me:§ https://host", WORD),
    "URL": ("postgresql://§@host/db", f"me:{WORD}"),
    "URL without a user": ("redis://§@host/0", f":{WORD}"),
    "URL, password with a sign": ("https://§@host/x", f"me:{WORD}@{WORD}"),
    "query": ("https://host/x?v=2&access_token=§&page=3", text(20)),
    "signed URL": ("s3://bucket/x?X-Amz-Signature=§", lower(64)),
}  # fmt: skip

HARMLESS = [
    "+num_tokens = 512000",
    "+max_tokens: 1000000",
    "+tokenizer = build_tokenizer()",
    "+monkey = 'capuchin'",
    "+for key in sorted(shards):",
    "+keys = list(table)",
    "+    key=checkpoint_step,",
    "+    best = min(bits, key=lambda step: x)",
    '+CHECKPOINT_KEY = "wavenet_pl"',
    '+    key: str = "val/bits"',
    '+key = "val/bits_mulaw256"',
    '+{"key": "utt0003-part2", "kind": "moved"}',
    "+key: VCTK_p225_001_mic1",
    '+pad_token = "<pad>"',
    "+eos_token = tokenizer.eos_token",
    "+    hub_token = read_token(path)",
    "+password = getpass.getpass()",
    "+    connect(user, password=password)",
    "+password: str",
    "+    secret: bool = False,",
    "+    password = args.password",
    "+db_password: ${DB_PASSWORD}",
    '+headers = {"Authorization": f"Bearer {token}"}',
    "+export HF_TOKEN=$(cat token)",
    "+Keys and passwords: they are taken out of all that is written",
    "+Basic statistics of 16 recordings",
    "+    --token-file PATH",
    "+authorization = build(request)",
    "+index 0123456789abcdef0123456789abcdef01234567..89abcdef 100644",
    "+commit 5169335f00d5169335f00d5169335f00d5169335",
    f"+fingerprint: {lower(64)}",
    f"+{lower(64)}  step-000000010.ckpt",
    "+data.path=/data/anna/speech-16k/train",
    "+runs/speaker-affaaa/checkpoints/step-000000010.ckpt",
    "+train/loss 2.5312 val/bits 3.25",
    '+{"step": 12, "epoch": 0, "time": 1700000000.123, "train/loss": 3.25}',
    "+data: s3://bucket/set/train/shard-000001.tar",
    "+https://host:8080/a@b?page=3&v=2",
    "+mail me@host",
    "+data/sk-SK-common-voice-17-clips-of-2026",
    "+hf_hub_download_of_a_dataset_by_name(x)",
    "+ssh-ed25519 AAAA" + text(60) + " me@host",
    "+-----BEGIN PUBLIC KEY-----",
    "+z_BGT, past_BRP = self.dilated(x_BRT, past_BRP)",
    "+@pytest.mark.parametrize(('key', 'value'), [('a', 1)])",
    "+author = 'van den Oord'",
    "+trainer: {precision: bf16-mixed, max_steps: 100000}",
    "+SSH_AUTH_SOCK=/run/user/1000/ssh",
    "+machine = platform.machine()",
    "+samples.seed=12345678",
    "+session.cookies.clear()",
    "+signature: 1a2b3c",
    "+    def token(self) -> str:",
    "+assert key not in row, key",
    "+key_channels: 64",
    "+the password is asked for, and 2 tokens are kept",
    "+from wavenet_pl.files.redaction import redact, secret_values",
    "+optim: {lr: 0.001, betas: [0.9, 0.999], weight_decay: 0.01}",
    "+git checkout 942b8b0",
    "+torch.manual_seed(0)",
]
"""Lines of which no letter may be lost."""

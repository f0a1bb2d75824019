"""Cleaning of raw captions, titles, summaries and queries, English and Chinese.

Every function here is total (it never raises), idempotent, and returns no control character. Prices, sizes and model
names survive; mentions, hashtags, account ids, links, phone numbers, emoji and begging for likes do not.
"""

from __future__ import annotations

import re
import unicodedata

MAX_CHARACTERS = 4096
"""Longer fields are cut here: no budget reads that far, and cleaning time stays bounded."""

_PLACEHOLDERS = frozenset({"unknown", "null", "none", "nan", "n/a", "undefined", "未知", "无", "-"})

# So: symbols other than these are emoji and dingbats.
_KEPT_SYMBOLS = frozenset("°℃℉№")
_JOINED_MARKS = frozenset(map(chr, (*range(0xFE00, 0xFE10), 0x20E3)))  # variation selectors, the keycap
_DROPPED_CATEGORIES = frozenset({"Cc", "Cs", "Co", "Cn", "So", "Sk", "Zl", "Zp"})

_URL = re.compile(
    r"(?:https?://|www\.)[^\s，。！？、】）]+"
    r"|\b[a-z0-9-]{2,}\.(?:com|cn|net|org|shop|link|ly|me|co)(?:/[^\s，。！？、]*)?(?![\w.])",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
# Kuaishou writes a mention as @name(O3x5ab...); the id in brackets goes with it.
_MENTION = re.compile(r"@\s?[\w.\-·]+(?:\([A-Za-z0-9_]{6,}\))?|@+")
_HASHTAG = re.compile(r"#[^\s#，。！？、,!?;；:：]+#?|#+")
_ACCOUNT = re.compile(
    r"(?<![A-Za-z])(?:wechat|whatsapp|telegram|instagram|snapchat|tiktok|ig|vx|wx|qq|snap|user\s?id|account|uid|id)"
    r"\s*[:=]\s*[\w.\-]{3,}"
    r"|(?:快手号|快手|抖音号|抖音|微信号|微信|薇信|小红书号|账号|帐号|用户)(?:id)?\s*[::]\s*[A-Za-z0-9_.\-]{3,}"
    r"|(?<!\w)user_?\d{5,}(?!\w)",
    re.IGNORECASE,
)
# Eleven digits in China, or digits in groups as a number is written elsewhere. A currency sign keeps a price.
_PHONE = re.compile(r"(?<![\w.$¥€£])(?:\+?\d{1,3}[\s-]?)?(?:1[3-9]\d{9}|\(?\d{3}\)?[\s.-]\d{3,4}[\s.-]\d{4})(?![\w.])")
_BOILERPLATE = re.compile(
    r"\b(?:please\s+|pls\s+|don'?t\s+forget\s+to\s+|remember\s+to\s+)?"
    r"(?:"
    r"follow\s+(?:me|us|my\s+(?:page|account|channel))(?:\s+for\s+more(?:\s+\w+)?)?"
    r"|like(?:,|\s+and|\s*&)\s*(?:(?:comment|share|subscribe|follow)(?:,?\s*(?:and|&)?\s*)?)+"
    r"|(?:like|share|subscribe)\s+(?:if\s+you\s+(?:agree|like\s+it|love\s+it)|for\s+more|to\s+my\s+channel|now)"
    r"|hit\s+(?:the\s+)?(?:like|subscribe|follow)(?:\s+button)?"
    r"|(?:double\s+tap|tap\s+twice)(?:\s+if\s+you\s+\w+)?"
    r"|(?:click\s+(?:the\s+)?)?link\s+in\s+(?:my\s+)?(?:bio|description|comments?)"
    r"|swipe\s+up(?:\s+to\s+\w+)?"
    r"|(?:dm|message)\s+(?:me|us)(?:\s+(?:to|for)\s+\w+)?"
    r"|for\s+you\s+page|tag\s+a\s+friend(?:\s+who\s+\w+)?"
    r"|check\s+out\s+my\s+(?:page|profile|bio)"
    r"|thanks?\s+for\s+watching"
    r")\b"
    r"|作品推广|感谢快手(?:官方)?(?:平台)?(?:给我)?(?:我要)?(?:上)?(?:热门|推荐)?|我要上热[门们]|(?:求|上|给个)热门"
    r"|感谢(?:官方|平台)(?:的?推荐)?|快手(?:官方|小助手|热门)"
    r"|(?:点赞|双击|转发|评论|收藏)(?:[、,\s]*(?:加|和)?(?:点赞|双击|转发|评论|收藏|关注)){1,4}"
    r"|(?:记得|点个|点点|求|帮忙|麻烦)(?:点)?(?:关注|赞|红心|小红心)|关注(?:我|主播|一下|走一波)|双击(?:666|屏幕|么么哒)?|老铁(?:们)?双击"
    r"|(?:左|右)下角(?:小黄车|链接|下单)?|点击(?:下方)?(?:链接|小黄车)|小黄车(?:下单)?|家人们点关注",
    re.IGNORECASE,
)
_REPEATED_PUNCTUATION = re.compile(r"([^\w\s])(?:\s*\1)+")
_EMPTY_BRACKETS = re.compile(r"[(\[{（【「《<]\s*[)\]}）】」》>]")
_SPACE = re.compile(r"\s+")
_SEMICOLON = re.compile(";")  # stands between the queries of a rendered field
_EDGE = " \t\n,.;:!?~|/\\-_=+*^`'\"…·。，、！？；：~•>»→()[]{}<【】「」《》"
_LEADING = _EDGE.replace("(", "").replace("[", "").replace("【", "").replace("《", "")
_TRAILING = _EDGE.replace(")", "").replace("]", "").replace("】", "").replace("》", "").replace("+", "")

_SUMMARY_PREFIX = re.compile(
    r"^\s*(?:"
    r"(?:here\s+is\s+)?(?:an?\s+|the\s+)?(?:brief\s+|short\s+)?(?:video\s+)?(?:summary|description|caption|overview)"
    r"(?:\s+of\s+(?:the|this)\s+(?:video|clip))?\s*(?:[::-]|is\s+that)"
    r"|(?:in\s+)?(?:this|the)\s+(?:short\s+|product\s+|promotional\s+)?(?:video|clip|footage|reel)(?:'s\s+content)?\s*,?\s*"
    r"(?:(?:mainly|primarily|clearly|briefly)\s+)?"
    r"(?:shows?|presents?|features?|demonstrates?|depicts?|showcases?|introduces?|displays?|contains?|captures?|describes?"
    r"|highlights?|reviews?|covers|is\s+(?:about|a)|focuses\s+on|opens\s+with|begins\s+with|we\s+see|you\s+can\s+see)"
    r"|(?:the\s+)?(?:frames?|scene|images?)\s+(?:shows?|depicts?|contains?)"
    r"|(?:该|本|此|这个|这段|这条)?(?:短)?视频(?:中|里|内容)?(?:主要|画面)?(?:展示|介绍|讲述|讲解|呈现|描述|演示|分享|拍摄|记录|内容(?:是|为)|显示|是)了?"
    r"|(?:视频)?(?:摘要|概述|简介|总结|内容)\s*[::]"
    r")\s*",
    re.IGNORECASE,
)
_SUMMARY_LABEL = re.compile(
    r"(?<![\w])(?:ocr|asr|speech|transcript|voice-?over|on-?screen\s+text|visual|scene|字幕|语音|画面文字|文字识别)\s*[::]",
    re.IGNORECASE,
)


def _fold(raw: str) -> str:
    """Fold width and compatibility forms, and turn what is not text into spaces."""
    folded = unicodedata.normalize("NFKC", raw[:MAX_CHARACTERS])[:MAX_CHARACTERS]
    if folded.isascii() and folded.isprintable():
        return folded
    kept = []
    for character in folded:
        category = unicodedata.category(character)
        if category == "Cf" or character in _JOINED_MARKS:
            continue  # zero-width characters sit inside words: a space would split the word
        kept.append(" " if category in _DROPPED_CATEGORIES and character not in _KEPT_SYMBOLS else character)
    return unicodedata.normalize("NFKC", "".join(kept))


def _squeeze(text: str) -> str:
    text = _EMPTY_BRACKETS.sub(" ", text)
    text = _REPEATED_PUNCTUATION.sub(r"\1", text)
    return _SPACE.sub(" ", text).lstrip(_LEADING).rstrip(_TRAILING)


def _to_fixpoint(text: str, *passes: re.Pattern[str]) -> str:
    """Apply the patterns until nothing changes, which makes the whole idempotent.

    Each round either removes a visible character or is the last, so it ends.
    """
    while True:
        before = text
        text = _fold(text)
        for pattern in passes:
            text = pattern.sub(" ", text)
        text = _squeeze(text)
        if text == before:
            return text


_TEXT_PASSES = (_URL, _EMAIL, _MENTION, _HASHTAG, _ACCOUNT, _PHONE, _BOILERPLATE)


def clean_text(raw: str | None) -> str:
    """Return the wording of a caption or title that says what the video is about, "" where nothing is left."""
    if not raw:
        return ""
    text = _to_fixpoint(raw, *_TEXT_PASSES)
    return "" if text.casefold() in _PLACEHOLDERS else text


def strip_summary_prefix(raw: str | None) -> str:
    """Return a multimodal summary, cleaned, without template openings and field labels."""
    if not raw:
        return ""
    text = _to_fixpoint(raw, *_TEXT_PASSES, _SUMMARY_PREFIX, _SUMMARY_LABEL)
    return "" if text.casefold() in _PLACEHOLDERS else text


def clean_query(raw: str | None) -> str:
    """Return a query on one line without invisible characters; its words and case stay as they were."""
    if not raw:
        return ""
    return _to_fixpoint(raw, _SEMICOLON)

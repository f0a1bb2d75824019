"""The regular expressions of cleaning, English and Chinese.

They are written for text with one space between words, and so that the time of one search grows no faster than
the text, whatever it holds:

- a quantifier without an upper bound is possessive, is in no other repetition, and nothing after it can fail;
- every other quantifier has a small bound;
- a run of characters is tried from its first character only, where a pattern may begin in many places.

`tests/unit/evidence/test_patterns.py` holds the parsed expressions against these rules.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Rule(NamedTuple):
    """What is removed, and a cheap expression that must match for it to occur."""

    needs: re.Pattern[str]
    dropped: re.Pattern[str]


_URL = re.compile(
    r"(?:https?://|www\.)[^\s，。！？、】）]++"
    # A name of 2 to 63 characters: from its first character only, and not from within a word.
    r"|(?<![a-z0-9-])(?:\b|(?=-))[a-z0-9-]{2,63}+\.(?:com|cn|net|org|shop|link|ly|me|co)"
    r"(?:/[^\s，。！？、]*+|(?![\w./]))",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+){1,8}+")
# Kuaishou writes a mention as @name(O3x5ab...); the id in brackets goes with it.
_MENTION = re.compile(r"@ ?[\w.\-·]++(?:\([A-Za-z0-9_]{6,64}+\))?|@++")
_HASHTAG = re.compile(r"#[^\s#，。！？、,!?;；:：]++#?|#++")
_ACCOUNT = re.compile(
    r"(?<![A-Za-z])(?=[wtisqvua])"
    r"(?:wechat|whatsapp|telegram|instagram|snapchat|tiktok|ig|vx|wx|qq|snap|user ?id|account|uid|id)"
    r" ?[:=] ?[\w.\-]{3,}+"
    r"|(?=[快抖微薇小账帐用])(?:快手号?|抖音号?|微信号?|薇信|小红书号|账号|帐号|用户)(?:id)? ?: ?[A-Za-z0-9_.\-]{3,}+",
    re.IGNORECASE,
)
_ACCOUNT_NUMBER = re.compile(r"(?<!\w)user_?\d{5,32}+(?!\w)", re.IGNORECASE)
# Eleven digits in China, or digits in groups as a number is written elsewhere. A currency sign keeps a price.
_PHONE = re.compile(r"(?<![\w.$¥€£])(?:\+?\d{1,3}[ -]?)?(?:1[3-9]\d{9}|\(?\d{3}\)?[ .-]\d{3,4}[ .-]\d{4})(?![\w.])")
_BEGGING_ENGLISH = re.compile(
    r"\b(?=[pdrflshctm])(?:please |pls |don'?t forget to |remember to )?"
    r"(?:"
    r"follow (?:me|us|my (?:page|account|channel))(?: for more(?: \w{1,32}+)?)?"
    r"|like(?:,| and| ?&) ?(?:(?:comment|share|subscribe|follow)(?:,? ?(?:and|&)? ?)){1,8}"
    r"|(?:like|share|subscribe) (?:if you (?:agree|like it|love it)|for more|to my channel|now)"
    r"|hit (?:the )?(?:like|subscribe|follow)(?: button)?"
    r"|(?:double tap|tap twice)(?: if you \w{1,32}+)?"
    r"|(?:click (?:the )?)?link in (?:my )?(?:bio|description|comments?)"
    r"|swipe up(?: to \w{1,32}+)?"
    r"|(?:dm|message) (?:me|us)(?: (?:to|for) \w{1,32}+)?"
    r"|for you page|tag a friend(?: who \w{1,32}+)?"
    r"|check out my (?:page|profile|bio)"
    r"|thanks? for watching"
    r")\b",
    re.IGNORECASE,
)
# Each alternative begins with a letter of its own, so that a search skips every place without one.
_APPROVAL = "(?:点赞|双击|转发|评论|收藏|关注)"
_MORE_APPROVAL = rf"(?:[、, ]{{0,3}}[加和]?{_APPROVAL}){{1,4}}"
_FOLLOW = "点?(?:关注|赞|红心|小红心)"
_CORNER = "下角(?:小黄车|链接|下单)?"
_BEGGING_CHINESE = re.compile(
    "作品推广|感谢快手(?:官方)?(?:平台)?(?:给我)?(?:我要)?上?(?:热门|推荐)?|我要上热[门们]|求热门|上热门|给个热门"
    "|感谢(?:官方|平台)(?:的?推荐)?|快手(?:官方|小助手|热门)"
    f"|点赞{_MORE_APPROVAL}|双击{_MORE_APPROVAL}|转发{_MORE_APPROVAL}|评论{_MORE_APPROVAL}|收藏{_MORE_APPROVAL}"
    f"|记得{_FOLLOW}|点个{_FOLLOW}|点点{_FOLLOW}|求{_FOLLOW}|帮忙{_FOLLOW}|麻烦{_FOLLOW}"
    "|关注(?:我|主播|一下|走一波)|双击(?:666|屏幕|么么哒)?|老铁(?:们)?双击"
    f"|左{_CORNER}|右{_CORNER}|点击(?:下方)?(?:链接|小黄车)|小黄车(?:下单)?|家人们点关注"
)

_ANYWHERE = re.compile("")
TEXT_RULES = (
    Rule(re.compile(r"[.:]"), _URL),
    Rule(re.compile("@"), _EMAIL),
    Rule(re.compile("@"), _MENTION),
    Rule(re.compile("#"), _HASHTAG),
    Rule(re.compile("[:=]"), _ACCOUNT),
    Rule(re.compile(r"\d{5}"), _ACCOUNT_NUMBER),
    Rule(re.compile(r"\d{4}"), _PHONE),
    Rule(re.compile("[a-z]", re.IGNORECASE), _BEGGING_ENGLISH),
    Rule(_ANYWHERE, _BEGGING_CHINESE),
)
"""What no caption, title or summary is about: links, people, tags, accounts, and begging for likes."""

_ARTICLE = "(?:an? |the )?"
SUMMARY_OPENING = re.compile(
    r"(?: ?(?:"
    rf"(?:here is )?{_ARTICLE}(?:brief |short )?(?:video )?(?:summary|description|caption|overview)"
    r"(?: of (?:the|this) (?:video|clip))? ?(?:[:-]|is that)"
    r"|(?:in )?(?:this|the) (?:short |product |promotional )?(?:video|clip|footage|reel)(?:'s content)? ?,? ?"
    r"(?:(?:mainly|primarily|clearly|briefly) )?"
    r"(?:shows?|presents?|features?|demonstrates?|depicts?|showcases?|introduces?|displays?|contains?|captures?"
    r"|describes?|highlights?|reviews?|covers|is (?:about|a)|focuses on|opens with|begins with|we see|you can see)"
    r"|(?:the )?(?:frames?|scene|images?) (?:shows?|depicts?|contains?)"
    r"|(?:该|本|此|这个|这段|这条)?短?视频(?:中|里|内容)?(?:主要|画面)?"
    r"(?:展示|介绍|讲述|讲解|呈现|描述|演示|分享|拍摄|记录|内容[是为]|显示|是)了?"
    r"|(?:视频)?(?:摘要|概述|简介|总结|内容) ?:"
    r")){1,8}",
    re.IGNORECASE,
)
"""Template openings of a summary, matched at its start: up to eight, one after another."""

SUMMARY_LABEL = Rule(
    re.compile(":"),
    re.compile(
        r"(?<!\w)(?:ocr|asr|speech|transcript|voice-?over|on-?screen text|visual|scene|字幕|语音|画面文字|文字识别) ?:",
        re.IGNORECASE,
    ),
)

EMPTY_BRACKETS = re.compile(r"[(\[{（【「《<] ?[)\]}）】」》>]")
REPEATED_PUNCTUATION = re.compile(r"([^\w\s])(?: ?\1)++")

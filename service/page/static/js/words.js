// Every label of the page, in English and Chinese.
export const WORDS = {
  en: {
    tagline: "Search queries for the bar below a short video", skip_to_feed: "Skip to the feed", phone: "Phone with a video feed", panel: "Why this bar?",
    language: "中文", language_label: "Switch to Chinese", theme_auto: "Theme: as the system", theme_light: "Theme: light", theme_dark: "Theme: dark", docs: "API",
    feed: "Videos", next: "Next video", previous: "Previous video", watching_as: "Watching as {name}; change the viewer", no_viewer: "No viewer", no_viewer_note: "Nothing is known of the viewer",
    viewers: "Who is watching?", likes: "Likes {list}", tier_budget: "low prices", tier_middle: "middle prices", tier_premium: "high prices", no_caption: "No caption",
    bar: "Search for", why: "Why this bar?", waiting: "Waiting for the service", slow: "The service takes longer than usual", retry: "Try again", another_key: "Enter another key", edited: "edited",
    reason_model_reject: "No suggestion: the model chose to show nothing", reason_no_evidence: "No suggestion: nothing is known of this video", reason_all_filtered: "No suggestion: the rules dropped every query", reason_deadline: "No suggestion: it was not ready in time",
    error_down: "The service does not answer", error_timeout: "The service took too long", error_overloaded: "The service is overloaded", error_unauthorized: "The API key is not valid", error_refused: "The request was refused", error_cancelled: "Cancelled",
    announced: "{count} suggestions: {list}", results: "Results for", results_count: "{count} items of the demo's shop", no_results: "No item of the demo's shop matches", no_shop: "This deployment has no catalogue for the page", close: "Close",
    department: "{name}", review: "Review", price: "Price", use: "In use", unboxing: "Unboxing", showcase: "A closer look",
    tab_why: "Why this bar?", tab_requests: "Requests", reset: "Reset", no_explain: "Your key may not ask for explanations. Queries and times are shown; evidence and hypotheses are not.",
    time: "Time", of_budget: "ms of {budget} ms", in_batch: "one of a batch of {size}: it waited for the others", from_cache: "from the result cache", round_trip: "browser {ms} ms", page_requests: "{count} requests of this page, ms",
    stage_feature_store: "Store", stage_render: "Render", stage_queue: "Queue", stage_encode: "Encode", stage_decode: "Decode", stage_policy: "Policy", other: "Other",
    evidence: "Evidence", field_text: "Text", field_summary: "Summary", field_anchors: "Anchors", field_histories: "Histories", field_personal: "Personal",
    note_text: "caption and titles", note_summary: "what a multimodal model saw", note_anchors: "queries of similar videos", note_histories: "queries issued on this video", note_personal: "similar queries of the viewer",
    stored: "Stored", sent: "Sent", cleaned: "Cleaned", nothing: "nothing", use_field: "Use {field}", off: "switched off", edit_caption: "Edit the caption", add_query: "Add a recent query", add: "Add", remove: "Remove {query}", unused_queries: "{count} other past queries are not similar enough",
    source: "Source", source_note: "what the model reads, {count} tokens", tokens: "{count} of {budget}", cut: "cut",
    hypotheses: "Hypotheses", rank: "Rank", query: "Query", score: "Score", verdict: "Verdict", shown: "shown", dropped: "dropped", no_hypotheses: "Nothing was generated",
    rule_reject_token: "[REJECT]", rule_unfinished: "unfinished", rule_unreadable: "unreadable", rule_empty: "empty", rule_duplicate: "duplicate", rule_prohibited_term: "prohibited term", rule_blocked_query: "blocked query", rule_low_score: "score too low", rule_too_short: "too short", rule_too_long: "too long", rule_recently_shown: "recently shown", rule_over_num_queries: "no room left", rule_pinned: "pinned", forced: "ended by the deadline",
    search: "Search", search_note: "The beam search of this answer, step by step. It is asked for while this is open.", no_search: "Nothing was searched for this answer", search_cut: "The deadline cut this search", how_search: "search",
    tree_label: "Beam search of {steps} steps, {width} beams", step: "Step {number}", path_ended: "score {score}, ended at step {step}.", path_entry: "score {score}, a whole query of the source that the pointer chose.", path_forced: "score {score}, ended by the deadline at step {step}.", search_list: "The search as a list", continues: "continues beam {number},",
    ended_as: "ended as hypothesis {rank}: {query}, score {score}", ended_lost: "ended, but better ones took its place: {query}, score {score}", cut_by: "forbidden by {list}",
    constraint_prohibited_phrases: "prohibited phrases", constraint_query_set: "the query set", constraint_min_new_tokens: "the shortest length", constraint_no_repeat_ngram_size: "no repetition",
    legend_open: "open beam", legend_path: "path of the hypothesis", legend_ended: "ended", legend_cut: "forbidden by a constraint",
    reject: "P([REJECT])", threshold: "threshold {value}", above: "at or above the threshold: nothing is shown", below: "below the threshold",
    video: "Video", kind: "Asked", how_single: "alone", how_batch: "batch of {size}", how_edit: "edit", outcome: "Outcome", service_ms: "Service", browser_ms: "Browser", queries_shown: "queries", plot: "Time of each request in milliseconds",
    error_forbidden: "This key may not do that", error_not_available: "This deployment does not have it", error_conflict: "The rules have changed",
    tab_review: "Review", review_key_title: "The reviewer's view", review_key_note: "It needs an API key that may review: onebar keys create FILE NAME --may review. The key stays in this page's memory.", review_key: "Reviewer's key", review_as: "You review as {name}", review_open: "This demo needs no key to review", review_leave: "Forget the key",
    review_answers: "Recent answers", review_source_memory: "Of this instance; the latest {count} at most.", review_source_event_stream: "Of all instances; the latest {count} at most.", review_by_video: "Video", review_by_query: "Part of a query", review_by_request_id: "Request id", review_search: "Find",
    review_none: "No answer matches", review_of_video: "Answers for this video", review_viewer: "Viewer", review_no_pseudonym: "without a pseudonym", review_request: "request", review_dropped: "{count} dropped",
    review_block: "Block", review_block_label: "Block “{query}”", review_pin: "Pin", review_pin_label: "Pin “{query}” on {video}", review_unblock: "Unblock", review_unblock_label: "Unblock “{query}”", review_unpin: "Unpin", review_unpin_label: "Unpin “{query}” from {video}",
    review_rules: "Rules", kind_of_change: "Change", change_block_query: "Block a query", change_unblock_query: "Unblock a query", change_pin_query: "Pin a query on a video", change_unpin_query: "Unpin a query from a video", change_reason: "Reason", change_submit: "Change the rules", change_again: "Look at the rules below, then send the change again.",
    done_block_query: "“{query}” is blocked.", done_unblock_query: "“{query}” is not blocked any more.", done_pin_query: "“{query}” is pinned on {video}.", done_unpin_query: "“{query}” is not pinned on {video} any more.",
    effect_here: "In force on this instance now, and within about two seconds on every other instance with the same rules file.", effect_soon: "In force within about two seconds on every instance with the same rules file.",
    rules_version: "Version {version}", blocked_queries: "Blocked queries ({count})", pinned_queries: "Pinned queries ({count})", changes: "Latest changes",
    tab_reports: "Reports", reports_none: "The folder of reports has none", reports_skipped: "Files that are not shown", report_command: "Made by", report_made: "Measured", report_part: "Part", report_paper: "dashed: the paper",
    key_title: "This service asks for an API key", key_note: "The key stays in this page's memory. Use one that may explain.", key: "API key", open: "Open", ask_title: "Choose a video", ask_note: "Enter a video that the feature store knows.", photo_id: "photo_id", user_id: "user_id (optional)", failed_title: "The page could not start",
  },
  zh: {
    tagline: "短视频下方搜索栏的推荐查询", skip_to_feed: "跳到视频", phone: "带视频流的手机", panel: "为什么是这些词？",
    language: "English", language_label: "切换为英文", theme_auto: "主题：跟随系统", theme_light: "主题：浅色", theme_dark: "主题：深色", docs: "接口",
    feed: "视频", next: "下一个视频", previous: "上一个视频", watching_as: "当前观众 {name}，点击更换", no_viewer: "无观众", no_viewer_note: "对观众一无所知",
    viewers: "谁在观看？", likes: "喜欢 {list}", tier_budget: "低价", tier_middle: "中价", tier_premium: "高价", no_caption: "无标题",
    bar: "搜一搜", why: "为什么是这些词？", waiting: "等待服务", slow: "服务比平时慢", retry: "重试", another_key: "输入其他密钥", edited: "已编辑",
    reason_model_reject: "无推荐：模型选择不展示", reason_no_evidence: "无推荐：没有该视频的信息", reason_all_filtered: "无推荐：规则过滤了全部查询", reason_deadline: "无推荐：未能及时生成",
    error_down: "服务没有响应", error_timeout: "服务超时", error_overloaded: "服务过载", error_unauthorized: "API 密钥无效", error_refused: "请求被拒绝", error_cancelled: "已取消",
    announced: "{count} 条推荐：{list}", results: "搜索结果：", results_count: "演示商店的 {count} 件商品", no_results: "演示商店没有匹配的商品", no_shop: "此部署没有供页面使用的商品目录", close: "关闭",
    department: "{name}", review: "测评", price: "价格", use: "使用中", unboxing: "开箱", showcase: "细看",
    tab_why: "为什么是这些词？", tab_requests: "请求记录", reset: "重置", no_explain: "你的密钥无权查看解释。这里只显示查询和耗时，不显示证据和候选。",
    time: "耗时", of_budget: "毫秒，预算 {budget} 毫秒", in_batch: "属于 {size} 个请求的批次，需等待其他请求", from_cache: "来自结果缓存", round_trip: "浏览器 {ms} 毫秒", page_requests: "本页 {count} 个请求（毫秒）",
    stage_feature_store: "存储", stage_render: "渲染", stage_queue: "排队", stage_encode: "编码", stage_decode: "解码", stage_policy: "策略", other: "其他",
    evidence: "证据", field_text: "文本", field_summary: "摘要", field_anchors: "锚点", field_histories: "历史", field_personal: "个人",
    note_text: "标题文字", note_summary: "多模态模型所见", note_anchors: "相似视频的查询", note_histories: "在此视频上发出的查询", note_personal: "观众的相似查询",
    stored: "存储", sent: "发送", cleaned: "清洗后", nothing: "无", use_field: "使用{field}", off: "已关闭", edit_caption: "编辑标题", add_query: "添加最近查询", add: "添加", remove: "移除 {query}", unused_queries: "另有 {count} 条历史查询不够相似",
    source: "输入序列", source_note: "模型读取的内容，{count} 个词元", tokens: "{count} / {budget}", cut: "截断",
    hypotheses: "候选", rank: "名次", query: "查询", score: "得分", verdict: "结论", shown: "展示", dropped: "丢弃", no_hypotheses: "没有生成任何内容",
    rule_reject_token: "[REJECT]", rule_unfinished: "未完成", rule_unreadable: "不可读", rule_empty: "为空", rule_duplicate: "重复", rule_prohibited_term: "禁用词", rule_blocked_query: "屏蔽的查询", rule_low_score: "得分过低", rule_too_short: "太短", rule_too_long: "太长", rule_recently_shown: "最近展示过", rule_over_num_queries: "没有位置", rule_pinned: "置顶", forced: "因超时提前结束",
    search: "搜索过程", search_note: "此结果的束搜索，逐步显示。仅在展开时请求。", no_search: "此结果没有进行搜索", search_cut: "搜索因超时被截断", how_search: "搜索",
    tree_label: "束搜索：{steps} 步，束宽 {width}", step: "第 {number} 步", path_ended: "得分 {score}，在第 {step} 步结束。", path_entry: "得分 {score}，由指针从输入中整句选出。", path_forced: "得分 {score}，在第 {step} 步因超时结束。", search_list: "以列表显示搜索", continues: "接第 {number} 束",
    ended_as: "结束，成为候选 {rank}：{query}，得分 {score}", ended_lost: "结束，但被更好的取代：{query}，得分 {score}", cut_by: "被禁止：{list}",
    constraint_prohibited_phrases: "禁用短语", constraint_query_set: "查询集合", constraint_min_new_tokens: "最短长度", constraint_no_repeat_ngram_size: "不得重复",
    legend_open: "未结束的束", legend_path: "候选的路径", legend_ended: "已结束", legend_cut: "被约束禁止",
    reject: "P([REJECT])", threshold: "阈值 {value}", above: "达到阈值：不展示", below: "低于阈值",
    video: "视频", kind: "方式", how_single: "单独", how_batch: "{size} 个一批", how_edit: "编辑", outcome: "结果", service_ms: "服务", browser_ms: "浏览器", queries_shown: "条查询", plot: "每个请求的耗时（毫秒）",
    error_forbidden: "此密钥无权执行该操作", error_not_available: "此部署不提供该功能", error_conflict: "规则已被修改",
    tab_review: "审核", review_key_title: "审核视图", review_key_note: "需要有审核权限的 API 密钥：onebar keys create FILE NAME --may review。密钥只保存在本页内存中。", review_key: "审核密钥", review_as: "审核人：{name}", review_open: "此演示无需密钥即可审核", review_leave: "清除密钥",
    review_answers: "最近的结果", review_source_memory: "仅本实例，最多最近 {count} 条。", review_source_event_stream: "所有实例，最多最近 {count} 条。", review_by_video: "视频", review_by_query: "查询的一部分", review_by_request_id: "请求 ID", review_search: "查找",
    review_none: "没有匹配的结果", review_of_video: "此视频的结果", review_viewer: "观众", review_no_pseudonym: "无化名", review_request: "请求", review_dropped: "{count} 条被丢弃",
    review_block: "屏蔽", review_block_label: "屏蔽“{query}”", review_pin: "置顶", review_pin_label: "在 {video} 置顶“{query}”", review_unblock: "取消屏蔽", review_unblock_label: "取消屏蔽“{query}”", review_unpin: "取消置顶", review_unpin_label: "在 {video} 取消置顶“{query}”",
    review_rules: "规则", kind_of_change: "修改", change_block_query: "屏蔽查询", change_unblock_query: "取消屏蔽查询", change_pin_query: "在视频上置顶查询", change_unpin_query: "取消视频上的置顶", change_reason: "理由", change_submit: "修改规则", change_again: "请查看下方规则后重新提交。",
    done_block_query: "已屏蔽“{query}”。", done_unblock_query: "已取消屏蔽“{query}”。", done_pin_query: "已在 {video} 置顶“{query}”。", done_unpin_query: "已在 {video} 取消置顶“{query}”。",
    effect_here: "本实例立即生效；使用同一规则文件的其他实例约两秒内生效。", effect_soon: "使用同一规则文件的实例约两秒内生效。",
    rules_version: "版本 {version}", blocked_queries: "屏蔽的查询（{count}）", pinned_queries: "置顶的查询（{count}）", changes: "最近的修改",
    tab_reports: "报告", reports_none: "报告目录为空", reports_skipped: "未显示的文件", report_command: "生成命令", report_made: "测量", report_part: "项目", report_paper: "虚线：论文",
    key_title: "此服务需要 API 密钥", key_note: "密钥只保存在本页内存中。请使用有权查看解释的密钥。", key: "API 密钥", open: "打开", ask_title: "选择视频", ask_note: "输入特征存储中已有的视频。", photo_id: "photo_id", user_id: "user_id（可选）", failed_title: "页面无法启动",
  },
};

let language = "en";

export function setLanguage(name) {
  language = name in WORDS ? name : "en";
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const node of document.querySelectorAll("[data-word]")) node.textContent = t(node.dataset.word);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t(node.dataset.label));
}

export const getLanguage = () => language;

/** Returns a label; `{name}` in it is replaced by a value. A name without a label, such as a new rule, is shown as it is. */
export function t(name, values = {}) {
  const text = WORDS[language][name] ?? name.replace(/^(rule|reason|error|stage|field|note|constraint)_/, "").replaceAll("_", " ");
  return text.replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
}

/** Says why there is no answer. The service's own message says more only where it refused the request itself. */
export function errorText({ kind, message }) {
  const text = t(`error_${kind}`);
  return kind === "refused" && message ? `${text}: ${message}` : text;
}

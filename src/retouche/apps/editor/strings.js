// All that the page says, in each of its languages: key: [English, Chinese]. {name} is filled in. A key that ends in
// ".touch" takes the place of its stem where fingers paint. What the server says of errors stays in its own words.

/** @type {Record<string, [string, string]>} */
export const STRINGS = {
  // the bar
  open: ["Open", "打开"],
  "open.title": ["Open a picture (Ctrl+O)", "打开图片 (Ctrl+O)"],
  openfolder: ["Open a folder", "打开文件夹"],
  "openfolder.title": [
    "Open a folder (Shift+Ctrl+O); Left and Right walk through it",
    "打开文件夹 (Shift+Ctrl+O)；用左右方向键逐张浏览",
  ],
  save: ["Save", "保存"],
  "save.title": ["Save in the picture's own format (Ctrl+S)", "按图片原格式保存 (Ctrl+S)"],
  previous: ["Previous picture", "上一张"],
  "previous.title": ["Previous picture (Left)", "上一张 (←)"],
  next: ["Next picture", "下一张"],
  "next.title": ["Next picture (Right)", "下一张 (→)"],
  place: ["{at} of {count}", "第 {at} 张，共 {count} 张"],
  edited: ["edited", "已修改"],
  undo: ["Undo", "撤销"],
  "undo.title": ["Undo (Ctrl+Z)", "撤销 (Ctrl+Z)"],
  "undo.what": ["Undo: {what} (Ctrl+Z)", "撤销：{what} (Ctrl+Z)"],
  redo: ["Redo", "重做"],
  "redo.title": ["Redo (Shift+Ctrl+Z)", "重做 (Shift+Ctrl+Z)"],
  model: ["Model", "模型"],
  device: ["Device", "设备"],
  "device.is": ["Device: ", "设备："],
  "device.any": ["Any device", "任意设备"],
  help: ["Keys and help", "快捷键与帮助"],
  "help.title": ["Keys and help (?)", "快捷键与帮助 (?)"],
  more: ["More", "更多"],
  "more.title": ["All tools and settings", "全部工具和设置"],
  less: ["Simple", "简洁"],
  "less.title": ["One brush that fills on release", "只留一支松手即填的画笔"],

  // the picture
  tools: ["Tools", "工具"],
  picture: ["Picture", "图片"],
  "picture.label": [
    "The picture and its mask. K shows a pointer that the arrow keys move; Tab compares; Shift+Tab leaves.",
    "图片及其遮罩。按 K 显示由方向键移动的指针；按住 Tab 对比原图；Shift+Tab 离开。",
  ],
  divider: ["Before and after", "修改前后"],
  before: ["Before", "之前"],
  after: ["After", "之后"],
  original: ["Original", "原图"],
  "results.label": [
    "Results: arrows choose, Enter keeps one, Escape none",
    "结果：方向键选择，Enter 采用，Escape 全部放弃",
  ],
  "empty.title": ["Drop a picture here", "把图片拖到这里"],
  "empty.title.touch": ["Choose a picture", "选择一张图片"],
  "empty.how": ["Paint over what should go: it is filled when you let go.", "涂抹要去掉的东西，松手即填补。"],
  "empty.how.full": ["Paint over what should go, then press Fill.", "涂抹要去掉的东西，然后点“填补”。"],
  "empty.promise": ["Nothing outside the hole changes.", "涂抹之外的像素一个也不会变。"],
  choose: ["Choose a picture", "选择图片"],
  continue: ["Go on with {name}", "继续处理 {name}"],
  "continue.done": ["{name} is as you left it", "{name} 已恢复到离开时的样子"],
  "continue.gone": ["The work on {name} can no longer be read", "{name} 的编辑已无法读取"],
  "kept.not": [
    "This browser has no room to keep the work for later: save the picture before you leave",
    "浏览器空间不足，无法保留当前编辑：离开前请先保存图片",
  ],
  example: ["Try an example", "试试示例"],
  drop: ["Drop to open: pictures, a folder, a mask or a sidecar", "松开即可打开：图片、文件夹、遮罩或编辑记录"],
  "brush.size": ["Brush size", "画笔大小"],
  pixels: ["{count} pixels", "{count} 像素"],

  // the panel
  settings: ["Settings", "设置"],
  size: ["Size", "大小"],
  tolerance: ["Tolerance", "容差"],
  mask: ["Mask", "遮罩"],
  invert: ["Invert", "反选"],
  "invert.title": ["Invert (Ctrl+I)", "反选 (Ctrl+I)"],
  clear: ["Clear", "清除"],
  "clear.title": ["Clear (Ctrl+D)", "清除 (Ctrl+D)"],
  shrink: ["Shrink", "缩小"],
  "shrink.title": ["Shrink by the step (-)", "按步长缩小 (-)"],
  grow: ["Grow", "扩大"],
  "grow.title": ["Grow by the step (+)", "按步长扩大 (+)"],
  step: ["Step", "步长"],
  savemask: ["Save mask", "保存遮罩"],
  "savemask.title": ["As a lossless PNG, white is the hole", "存为无损 PNG，白色为待填区域"],
  clearsketch: ["Clear sketch", "清除草图"],
  keepmask: ["Keep the mask after a fill", "填补后保留遮罩"],
  fill: ["Fill", "填补"],
  "fill.title": ["Fill the hole (Enter)", "填补 (Enter)"],
  keep: ["Keep", "采用"],
  dilate: ["Grow hole", "外扩"],
  feather: ["Soft edge", "羽化"],
  auto: ["auto", "自动"],
  "auto.is": ["auto: {value}", "自动：{value}"],
  context: ["Strategy", "取景"],
  "context.near": ["near the hole", "涂抹附近"],
  "context.wide": ["wide surroundings", "较大范围"],
  "context.whole": ["whole picture", "整张图片"],
  seed: ["Seed", "随机种子"],
  onrelease: ["Fill on release", "松手即填"],
  several: ["Try several models", "比较多个模型"],
  candidates: ["Models to try", "要比较的模型"],
  try: ["Fill with each", "逐个填补"],
  history: ["History", "历史"],
  "history.start": ["start", "原图"],
  "history.came": ["As it came", "打开时的样子"],
  command: ["Command", "命令行"],
  "command.label": ["The same on the command line", "命令行中的同样操作"],
  copycommand: ["Copy", "复制"],
  savesidecar: ["Save sidecar", "保存编辑记录"],
  "savesidecar.title": [
    "Masks, models and options; drop it on the picture to do the same again",
    "遮罩、模型与选项；拖到图片上即可重做同样的填补",
  ],
  language: ["Language", "语言"],

  // the line at the bottom
  zoomout: ["Zoom out", "缩小显示"],
  zoomin: ["Zoom in", "放大显示"],
  "zoom.label": ["Zoom: fit the picture", "缩放：适合窗口"],
  "zoom.title": ["Fit (Ctrl+0); 100 % (Ctrl+1)", "适合窗口 (Ctrl+0)；100 % (Ctrl+1)"],
  hole: ["hole {share} %  {mega} MP", "待填 {share} %  {mega} MP"],
  "hole.none": ["no hole", "未涂抹"],
  compare: ["Compare", "对比"],
  "compare.title": ["Hold Tab for the original", "按住 Tab 查看原图"],
  cancel: ["Cancel", "取消"],
  "cancel.one": ["Cancel this fill", "取消这次填补"],
  "progress.label": ["Fill", "填补进度"],
  filling: ["Filling, {time}", "正在填补，{time}"],
  "filling.share": ["Filling {percent} %, {time}", "正在填补 {percent} %，{time}"],
  "filling.left": ["Filling {percent} %, about {left} left", "正在填补 {percent} %，还需约 {left}"],
  waiting: ["Waiting, {time}", "排队中，{time}"],
  "waiting.behind": ["Waiting, {count} more before it, {time}", "排队中，前面还有 {count} 个，{time}"],
  "waiting.short": ["waiting · {time}", "排队 · {time}"],
  "and.more": ["(and {count} more)", "（另有 {count} 个）"],
  "value.waiting": ["waiting for other fills", "等待其他填补"],
  "value.percent": ["{percent} percent", "百分之 {percent}"],
  "value.filling": ["filling", "正在填补"],
  seconds: ["{count} s", "{count} 秒"],
  minutes: ["{count} min", "{count} 分钟"],

  // tools
  "tool.brush": ["Brush", "画笔"],
  "tool.brush.hint": ["Paint over what should go; Alt erases", "涂抹要去掉的东西；按住 Alt 擦除"],
  "tool.brush.hint.touch": ["Paint over what should go; two fingers move and zoom", "涂抹要去掉的东西；双指移动和缩放"],
  "tool.eraser": ["Eraser", "橡皮"],
  "tool.eraser.hint": ["Take parts of the mask away; Shift paints", "擦去部分遮罩；按住 Shift 涂抹"],
  "tool.eraser.hint.touch": ["Take parts of the mask away", "擦去部分遮罩"],
  "tool.lasso": ["Lasso", "套索"],
  "tool.lasso.hint": ["Draw around what should go; Alt subtracts", "圈出要去掉的东西；按住 Alt 减去"],
  "tool.lasso.hint.touch": ["Draw around what should go", "圈出要去掉的东西"],
  "tool.box": ["Box", "矩形"],
  "tool.box.hint": ["Drag a rectangle; Alt subtracts", "拖出矩形；按住 Alt 减去"],
  "tool.box.hint.touch": ["Drag a rectangle", "拖出矩形"],
  "tool.wand": ["Wand", "魔棒"],
  "tool.wand.hint": ["Click a colour to take its surface; Alt subtracts", "点选相近颜色的区域；按住 Alt 减去"],
  "tool.wand.hint.touch": ["Tap a colour to take its surface", "点选相近颜色的区域"],
  "tool.pen": ["Sketch pen", "草图笔"],
  "tool.pen.hint": ["Draw the lines that the fill should follow; Alt erases", "画出填补应遵循的线条；按住 Alt 擦除"],
  "tool.pen.hint.touch": ["Draw the lines that the fill should follow", "画出填补应遵循的线条"],
  "tool.hand": ["Hand", "抓手"],
  "tool.hand.hint": ["Drag to move the picture", "拖动图片"],

  // steps of undo
  "did.change": ["change", "修改"],
  "did.brush": ["brush", "涂抹"],
  "did.erase": ["erase", "擦除"],
  "did.sketch": ["sketch", "草图"],
  "did.lasso": ["lasso", "套索"],
  "did.box": ["box", "矩形"],
  "did.wand": ["wand", "魔棒"],
  "did.fill": ["fill", "填补"],
  "did.grow": ["grow", "扩大"],
  "did.shrink": ["shrink", "缩小"],
  "did.invert": ["invert", "反选"],
  "did.clear": ["clear", "清除"],
  "did.clear sketch": ["clear sketch", "清除草图"],
  "did.load mask": ["load mask", "载入遮罩"],
  "did.load sketch": ["load sketch", "载入草图"],
  "did.kept mask": ["kept mask", "保留的遮罩"],
  undone: ["Undone: {what}", "已撤销：{what}"],
  "undone.none": ["Nothing to undo", "没有可撤销的操作"],
  redone: ["Done again: {what}", "已重做：{what}"],
  "redone.none": ["Nothing to do again", "没有可重做的操作"],
  "undo.gone": ["That far back is no longer kept", "这么早的步骤已不再保留"],

  // fills
  "fill.nothing": ["Paint over what should go first", "请先涂抹要去掉的东西"],
  "fill.unknown": [
    "The hole leaves nothing known around it: mask less of the picture",
    "涂抹之外没有剩下可参考的部分：请涂抹小一些",
  ],
  "fill.waits": ["Waiting for other fills to end", "正在等待其他填补结束"],
  "fill.cancelled": ["Cancelled; nothing changed", "已取消，图片没有改变"],
  "fill.undone": ["Cancelled the fill", "已取消填补"],
  "fill.told": [
    "Filled {share} % of the picture with {model} in {time} seconds",
    "已用 {model} 填补图片的 {share} %，用时 {time} 秒",
  ],
  done: ["Done in {time}", "完成，用时 {time}"],
  again: ["Try again", "再试一次"],
  "several.none": ["Choose at least one model", "请至少选择一个模型"],
  "several.at": ["{model} ({at} of {count})", "{model}（第 {at} 个，共 {count} 个）"],
  "several.choose": ["Arrow keys choose, Enter keeps one, Escape none", "方向键选择，Enter 采用，Escape 全部放弃"],
  "several.choose.touch": ["Tap a result, then Keep", "点选一个结果，再点“采用”"],
  "sketch.deaf": ["{model} does not listen to the sketch", "{model} 不参考草图"],

  // what a fill was done with
  "chip.scale": ["scale {scale}", "缩放 {scale}"],
  "chip.seam": ["seam {seam} levels", "接缝 {seam} 级"],
  "fact.by": ["Filled by", "填补方式"],
  "fact.time": ["Time", "用时"],
  "fact.memory": ["Memory", "内存"],
  "fact.memory.is": ["{mega} MiB, the server's most so far", "{mega} MiB，服务器至今的最高值"],
  "fact.sent": ["Sent", "发送"],
  "fact.seen": [
    "{strategy}: seen at {scale} of its size, passes: {passes}",
    "{strategy}：按原大小的 {scale} 倍处理，{passes} 遍",
  ],
  "fact.grown": ["Grown by", "外扩"],
  "fact.grown.is": ["{dilate} px, soft edge {feather} px", "{dilate} 像素，羽化 {feather} 像素"],
  "fact.seam": ["Seam", "接缝"],
  "fact.seam.is": [
    "{seam} grey levels between border and surroundings; 0: nothing shows",
    "边缘与周围相差 {seam} 个灰度级；0 表示看不出接缝",
  ],
  "fact.remarks": ["Remarks", "备注"],

  // files
  "leave.unsaved": [
    "This picture has unsaved fills: save it, or do that again to leave it",
    "这张图片有未保存的填补：请先保存，或再操作一次以离开",
  ],
  "open.altered": [
    "This browser alters the pixels that a page reads, against tracking: allow this page to read canvases, so that nothing outside the hole changes",
    "此浏览器为防跟踪会改动网页读取的像素：请允许本页读取画布，以保证涂抹之外不变",
  ],
  "open.large": [
    "{name} has {width}x{height} pixels: this server takes {mega} megapixels",
    "{name} 有 {width}x{height} 像素：此服务器最多接受 {mega} 百万像素",
  ],
  "open.unreadable": [
    "{name} cannot be read: give a JPEG, PNG, WebP, TIFF or BMP file",
    "无法读取 {name}：请使用 JPEG、PNG、WebP、TIFF 或 BMP 文件",
  ],
  "open.leftout": [
    "Masks and sidecars were left out: drop each on its picture",
    "遮罩和编辑记录未载入：请分别拖到各自的图片上",
  ],
  "open.busy": ["A picture is being opened: try again in a moment", "正在打开图片：请稍后再试"],
  "open.empty": ["There is no JPEG, PNG, WebP, TIFF or BMP file to open", "没有可打开的 JPEG、PNG、WebP、TIFF 或 BMP 文件"],
  "open.example": ["Paint over the ball", "涂抹那个球试试"],
  "open.example.full": ["Paint over the ball, then press Enter", "涂抹那个球，然后按 Enter"],
  "open.example.full.touch": ["Paint over the ball, then tap Fill", "涂抹那个球，然后点“填补”"],
  "open.passed": ["Passed over {name}: {why}", "已跳过 {name}：{why}"],
  "open.passed.why": ["it cannot be read", "无法读取"],
  "mask.size": [
    "{name} is {width}x{height} but the picture is {across}x{down}: give one of the same size",
    "{name} 为 {width}x{height}，而图片为 {across}x{down}：请使用同样大小的文件",
  ],
  "mask.taken": ["{name} is the mask now", "{name} 已作为遮罩"],
  "sketch.taken": ["{name} is the sketch now", "{name} 已作为草图"],
  "mask.waits": [
    "The kept mask is for {width}x{height} pixels: it waits for the next picture of that size",
    "保留的遮罩适用于 {width}x{height} 像素：将等待下一张同样大小的图片",
  ],
  "sidecar.none": ["This JSON file is no sidecar of this editor", "这个 JSON 文件不是本编辑器的编辑记录"],
  "sidecar.first": [
    "Open the sidecar's picture first, then drop the sidecar on it",
    "请先打开编辑记录对应的图片，再把记录拖到图片上",
  ],
  "sidecar.size": [
    "The sidecar is for {width}x{height} pixels but the picture is {across}x{down}",
    "编辑记录适用于 {width}x{height} 像素，而图片为 {across}x{down}",
  ],
  "sidecar.other": [
    "This sidecar was made for another picture ({name}): drop it again to use it on this one all the same",
    "这份编辑记录属于另一张图片（{name}）：再拖一次即可仍用于这张图片",
  ],
  "sidecar.at": ["Fill {at} of {count}: {model}", "第 {at} 次填补，共 {count} 次：{model}"],
  "sidecar.done": ["{count} fills done again", "已重做 {count} 次填补"],
  "save.many": [
    "More of the picture has changed than one save takes: save after fewer fills",
    "改动超出一次保存的上限：请减少填补后再保存",
  ],
  "save.folder": ["Saved {name} in the output folder", "已把 {name} 保存到输出文件夹"],
  "save.done": ["Saved {name}", "已保存 {name}"],
  "save.exists": [
    "{name} exists in the output folder: save again to replace it",
    "输出文件夹中已有 {name}：再保存一次即可替换",
  ],
  "copy.done": ["Copied the picture", "已复制图片"],
  "copy.refused": [
    "The browser did not allow copying: save the picture instead",
    "浏览器不允许复制：请改为保存图片",
  ],
  "copy.command": ["Copied; save the mask beside the picture to run it", "已复制；把遮罩存到图片旁边即可运行"],
  "copy.selected": ["Selected: copy it with Ctrl+C", "已选中：请按 Ctrl+C 复制"],

  // the server
  "server.away": [
    "The server does not answer: is `retouche start` still running?",
    "服务器没有回应：`retouche start` 还在运行吗？",
  ],
  "server.401": ["The server asks for its token", "服务器要求口令"],
  "server.413": [
    "This is more than the server takes in one request: a smaller hole, or a crop",
    "超出服务器一次所能接收的大小：请涂抹小一些，或裁剪图片",
  ],
  "server.429": ["The server is busy with other fills: try again in a moment", "服务器正忙于其他填补：请稍后再试"],
  "server.504": [
    "The fill took longer than the server allows: a smaller hole, or another model",
    "填补超过了服务器允许的时间：请涂抹小一些，或换一个模型",
  ],
  "server.said": ["The server said {status}", "服务器返回 {status}"],
  "server.size": [
    "The server answered {width}x{height} pixels for {across}x{down}",
    "服务器返回 {width}x{height} 像素，应为 {across}x{down}",
  ],
  "token.title": ["The server asks for its token again", "服务器再次要求口令"],
  "token.why": [
    "Nothing is lost: what you were doing goes on once it is here.",
    "什么都没有丢失：输入后会接着进行。",
  ],
  token: ["Token", "口令"],
  "token.give": ["Go on", "继续"],
  "token.later": ["Not now", "暂不"],
  "token.wrong": ["This is not the token: try again", "口令不对：请再试一次"],

  // what each method is good for, in few words
  "for.retouche": ["anything: chooses by the hole", "通用：按涂抹自动选择"],
  "for.guided": ["large objects, with a sketch", "大块物体，可配草图"],
  "for.exemplar": ["texture: grass, walls, sky", "纹理：草地、墙面、天空"],
  "for.harmonic": ["spots on smooth ground, instantly", "平滑背景上的斑点，瞬间完成"],
  "for.mean": ["a plain patch, for comparison", "单色补块，仅供比较"],
  "for.thin": ["scratches, text, dust, hairs", "划痕、文字、灰尘、细毛"],
  "for.layout": ["a blurred sketch of large holes", "大块区域的模糊草样"],
  "for.refine": ["finishing collages of large holes", "修整大块拼贴"],
  "for.aot-gan": ["large holes in everyday scenes", "日常场景的大块区域"],
  "for.context-encoder": ["small central holes, for comparison", "中央小块，仅供比较"],
  "for.deepfill-v1": ["boxes in scenes and faces", "场景与人脸的矩形区域"],
  "for.deepfill-v2": ["free-form holes, with a sketch", "任意形状，可配草图"],
  "for.lama": ["large holes, repeating structure", "大块区域，重复结构"],
  "for.mi-gan": ["quick fills on small devices", "小型设备上的快速填补"],
  "for.partial-conv": ["irregular holes of any shape", "不规则区域"],
  "for.telea": ["thin scratches, marching inwards", "细划痕，由外向内填"],
  "for.navier-stokes": ["thin scratches along flowing lines", "沿线条走向的细划痕"],
  "for.fsr": ["small gaps in fine texture", "细密纹理中的小缺口"],
  "for.sii-gan": ["buildings, streets and faces", "建筑、街道与人脸"],
  "for.structural": ["edges and outlines kept", "保持边缘与轮廓"],
  "for.structure-flow": ["structure first, then texture", "先结构，后纹理"],
  "for.file": ["weights of your own", "自己的权重"],

  // the list of keys
  "keys.title": ["Keys", "快捷键"],
  close: ["Close", "关闭"],
  "keys.mask": ["Mask", "遮罩"],
  "keys.file": ["File", "文件"],
  "keys.blind": ["Without a pointer", "不用鼠标"],
  "key.turn": ["brush and eraser in turn", "画笔与橡皮切换"],
  "key.size": ["smaller, larger", "变小、变大"],
  "key.add": ["adds", "加上"],
  "key.subtract": ["subtracts", "减去"],
  "key.fill": ["fill, keep a result", "填补，采用结果"],
  "key.cancel": ["cancel", "取消"],
  "key.walk": ["choose a result, or walk through the folder", "选择结果，或浏览文件夹"],
  "key.pan": ["hold to pan", "按住拖动图片"],
  "key.scroll": ["pans, Shift sideways", "移动图片，Shift 左右移动"],
  "key.zoom": ["zooms, as two fingers do", "缩放，双指亦可"],
  "key.fit": ["fit", "适合窗口"],
  "key.full": ["100 %", "100 %"],
  "key.original": ["hold for the original", "按住查看原图"],
  "key.divider": ["before and after divider", "前后对比分隔线"],
  "key.open": ["open", "打开"],
  "key.folder": ["open a folder", "打开文件夹"],
  "key.copy": ["copy the picture", "复制图片"],
  "key.paste": ["paste a picture", "粘贴图片"],
  "key.pointer": ["a pointer for the arrow keys", "由方向键移动的指针"],
  "key.move": ["move it; with Shift ten times", "移动指针；Shift 快十倍"],
  "key.press": ["put the tool down, lift it", "落笔、提笔"],
  "key.panels": ["from the picture to tools and settings", "从图片跳到工具和设置"],
  "key.leave": ["leave the picture", "离开图片"],
};

export const LANGUAGES = { en: "English", zh: "中文" };
const ORDER = Object.keys(LANGUAGES);

let chosen = 0;
let touch = false;

/** @param {string | null} kept @param {readonly string[]} wanted by the browser @returns {string} the language */
export function speak(kept, wanted = []) {
  const asked = [kept, ...wanted].map((name) => String(name ?? "").slice(0, 2).toLowerCase());
  chosen = Math.max(0, ORDER.indexOf(asked.find((name) => ORDER.includes(name))));
  return ORDER[chosen];
}

/** Whether fingers paint. @param {boolean} on */
export function speakToFingers(on) {
  touch = on;
}

/** @param {string} key @param {Record<string, string | number>} [values] @returns {string} */
export function t(key, values = {}) {
  const pair = (touch && STRINGS[`${key}.touch`]) || STRINGS[key];
  if (!pair) throw new Error(`no string "${key}"`);
  return pair[chosen].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** What a method is good for, where that is known. @param {string | null | undefined} method */
export const goodFor = (method) => (method && STRINGS[`for.${method}`] ? t(`for.${method}`) : method ? "" : t("for.file"));

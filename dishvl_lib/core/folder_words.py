"""Words of folders that say no dish: dates, batches and other words of filing, splits, places."""

import re
import unicodedata

# Of a given split, without what is put around them: train_data, 训练集, val2017.
SPLITS = {
    "train": "train",
    "training": "train",
    "训练": "train",
    "訓練": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "eval": "validation",
    "验证": "validation",
    "驗證": "validation",
    "test": "test",
    "testing": "test",
    "测试": "test",
    "測試": "test",
}
# What people call folders in which they file, whatever is in them.
FILING = frozenset(
    "批 批次 批量 组 轮 次 期 部分 周 天 号 元 度 至 到 拍 机 号机 机位 号机位 设备 "
    "春 夏 秋 冬 春季 夏季 秋季 冬季 上半年 下半年 早餐 午餐 晚餐 早上 上午 中午 下午 晚上 白天 夜间 "
    "新 新增 新建 新建文件夹 新文件夹 文件夹 未命名 未命名文件夹 无标题 无标题文件夹 补充 追加 补拍 重拍 "
    "原图 原始 原始图 原始图片 原片 缩略图 压缩 压缩后 裁剪 裁剪后 处理后 已处理 待处理 未处理 增强 增强后 "
    "已标注 未标注 待标注 标注 已完成 未完成 完成 未分类 待分类 待确认 全部 汇总 备份 副本 临时 杂项 其它 其他 "
    "分类 类别 拍摄 实拍 摆拍 手机 手机拍 手机拍摄 相机 相册 图库 素材 数据 数据集 样本 图 图片 照片 图像 "
    "菜品图片 菜品照片 菜品数据 微信 微信图片 下载 桌面 截图 正面 正面照 侧面 侧面照 俯拍 俯视 俯视图 侧拍 "
    "近景 远景 全景 特写 左 右 左侧 右侧 清晰 模糊 合格 不合格 大份 中份 小份 半份 整份 "
    "batch part group set round new old folder dir untitled unnamed raw images imgs pics pictures "
    "photos img image pic photo picture jpg jpeg png ori original originals src source data "
    "dataset datasets backup bak copy temp tmp misc crop crops cropped resized resize thumb "
    "thumbs thumbnail thumbnails cam camera phone iphone mobile device roll dcim downloads "
    "desktop labels annotations class classes category categories final version ver aug augmented "
    "labeled labelled unlabeled unlabelled annotated todo done good bad breakfast lunch dinner "
    "the of all and my for".split()
)
_SPLIT_TRIMMINGS = re.compile(
    r"^\d+[\s_.-]*|[\s_.-]*(set|data|dataset|imgs?|images|photos|集|数据集?|图片|照片|\d{4})$|[\s_.-]+\d+$"
)
_NUMBER = "[0-9一二三四五六七八九十百两]+"
_ORDINAL = re.compile(f"第{_NUMBER}")
_FILING_NUMBER = re.compile(f"({_NUMBER}|[a-z])(批次?|组|轮|次|期|号)|(批次?|组)({_NUMBER}|[a-z])")
_MONTH = (
    "jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec|january|february|march|april|"
    "august|september|october|november|december"
)
_DATE = re.compile(
    rf"(\d{{4}}[-_./年]?\d{{1,2}}([-_./月]?\d{{1,2}}日?|月)?|\d{{2,4}}年|(\d{{2,4}}年)?\d{{1,2}}月"
    rf"(\d{{1,2}}[日号]?|[上中下]旬)?|\d{{1,2}}[-_.]\d{{1,2}}|\d{{1,2}}[日号]|(周|星期|礼拜)[一二三四五六日天]"
    rf"|(\d{{1,4}}[-_ ]?)?({_MONTH})([-_ ]?\d{{1,4}})*)"
    r"([ _T-]*\d{2}[-:：_.时点]?\d{2}([-:：_.分]?\d{2}秒?)?)?"
)
_PLACE = re.compile(
    "(食堂|餐厅|饭堂|餐馆|饭店|酒店|酒楼|门店|分店|总店|[^小]店|校区|园区|厂区|小区|档口|窗口|大学|学院|中学|小学|"
    "公司|大厦|广场|楼|楼层|[东南西北]区|[A-Za-z]区|site|canteen|restaurant|store|shop|hall)"
    r"[\s_-]*[A-Za-z0-9]*$"
)


def split_of(folder: str) -> str:
    """train, validation or test for a folder that is called like a split; '' for any other."""
    text = _plain(folder)
    bare = _SPLIT_TRIMMINGS.sub("", text)
    # A trimming may stand behind another one.
    barer = _SPLIT_TRIMMINGS.sub("", bare)
    return SPLITS.get(text) or SPLITS.get(bare) or SPLITS.get(barer, "")


def is_date(text: str) -> bool:
    """Whether a text is nothing but a day, month, year or week day: 20240301, 3月1日, 2024-03."""
    return bool(_DATE.fullmatch(_plain(text)))


def is_filing(text: str) -> bool:
    """Whether a text holds nothing but words of filing: 批次1, 第3批, new folder (2), raw, 原图."""
    plain = _plain(text)
    if _FILING_NUMBER.fullmatch(plain):
        return True
    without_numbers = _DATE.sub(" ", _ORDINAL.sub(" ", plain))
    words = re.findall(r"[^\W\d_]+", without_numbers)
    longer = [word for word in words if len(word) > 1 or not word.isascii()]
    return bool(longer) and FILING.issuperset(longer)


def is_place(text: str) -> bool:
    """Whether a text is the name of a place where dishes are served: 一食堂, 朝阳店, 3号窗口, site_b."""
    return bool(_PLACE.search(_plain(text)))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()

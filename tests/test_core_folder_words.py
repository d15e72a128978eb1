"""Words of folders that say no dish."""

import pytest

from dishvl_lib.core import folder_words


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("train", "train"),
        ("Train", "train"),
        ("训练集", "train"),
        ("train_data", "train"),
        ("train2017", "train"),
        ("1_train", "train"),
        ("val", "validation"),
        ("Valid", "validation"),
        ("验证集", "validation"),
        ("dev", "validation"),
        ("测试集", "test"),
        ("测试集图片", "test"),
        ("test_images", "test"),
        ("train_2", "train"),
        ("红烧鱼", ""),
        ("test1", ""),
        ("trained", ""),
    ],
)
def test_splits(folder, split):
    assert folder_words.split_of(folder) == split


@pytest.mark.parametrize(
    "text",
    "20240301 2024-03 2024.3.1 2024年3月 2024年 3月1日 3月 03-01 周三 星期日 Mar_2024 "
    "2024-03-01_12-30 20240301_123045 3月上旬".split(),
)
def test_dates(text):
    assert folder_words.is_date(text)


@pytest.mark.parametrize(
    "text", ["红烧鱼", "三月三", "七日鲜", "2022新菜", "1号套餐", "marinara", ""]
)
def test_what_is_no_date(text):
    assert not folder_words.is_date(text)


@pytest.mark.parametrize(
    "text",
    [
        "批次1",
        "batch_2",
        "第3批",
        "第一批",
        "2组",
        "new",
        "New folder (2)",
        "新建文件夹 (2)",
        "未命名",
        "raw",
        "images",
        "photos",
        "原图",
        "已标注",
        "俯拍",
        "20240301-午餐",
        "3月1日拍摄",
        "2024年第3周",
        "2024春",
        "A组",
        "batch_a",
        "45度",
        "大份",
    ],
)
def test_words_of_filing(text):
    assert folder_words.is_filing(text)


@pytest.mark.parametrize(
    "text", ["红烧鱼", "三杯鸡", "八宝饭", "新疆炒饭", "new york steak", "12", ""]
)
def test_what_is_no_word_of_filing(text):
    assert not folder_words.is_filing(text)


@pytest.mark.parametrize(
    "text", ["一食堂", "朝阳店", "3号窗口", "site_b", "二楼餐厅", "东区", "Canteen 2"]
)
def test_places(text):
    assert folder_words.is_place(text)


@pytest.mark.parametrize("text", ["红烧鱼", "食堂红烧肉", "大学生套餐", "HGD"])
def test_what_is_no_place(text):
    assert not folder_words.is_place(text)

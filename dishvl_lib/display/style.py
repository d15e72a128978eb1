"""The style sheets of the report page and of the cards in it, which the widgets show too. They name
no outside file.
"""

FONTS = (
    '"Noto Sans CJK SC","PingFang SC","Microsoft YaHei","WenQuanYi Micro Hei",system-ui,sans-serif'
)
PAGE_CSS = f"""
body{{font:15px/1.55 {FONTS};color:#222;max-width:1120px;margin:24px auto;padding:0 20px}}
h1{{font-size:26px;margin:0 0 8px}}h2{{font-size:18px;margin:32px 0 8px;border-bottom:1px solid #ddd;padding-bottom:4px}}
h2::first-letter{{text-transform:uppercase}}
.notes{{background:#f6f3ea;border-left:4px solid #c8b48a;padding:8px 12px 8px 28px;margin:12px 0}}
.scroll{{overflow-x:auto}}table{{border-collapse:collapse}}
table.data td,table.data th,table.pairs td,table.pairs th{{padding:5px 12px 5px 0;text-align:left;border-bottom:1px solid #eee;
 vertical-align:top;font-variant-numeric:tabular-nums}}
th{{color:#777;font-weight:normal;font-size:13px}}table.data td{{white-space:nowrap}}
.figure{{max-width:100%}}.cards{{display:grid;grid-template-columns:repeat(auto-fill,minmax(320px,1fr));gap:14px}}
.filters{{display:flex;flex-wrap:wrap;gap:8px 14px;align-items:center;margin:8px 0;color:#777;font-size:13px}}
.filters[hidden]{{display:none}}.filters select,.filters input{{font:inherit;max-width:240px}}.matrix button:disabled{{cursor:default}}
.matrix{{border-collapse:separate;border-spacing:2px}}.matrix th{{text-align:left;white-space:nowrap;font-size:12px;padding-right:6px}}
.matrix td{{background:#f6f8fa;min-width:27px;height:26px;padding:0;text-align:center}}.matrix .own{{outline:1px solid #9db4c8}}
.matrix button{{width:100%;height:26px;border:0;padding:0;color:#222;font:12px/1 inherit;cursor:pointer}}
.small img,.small .nophoto{{width:84px;height:64px;min-width:0;min-height:0;object-fit:cover;border-radius:3px;margin-top:4px}}
pre{{background:#f5f5f5;padding:10px;white-space:pre-wrap;overflow-wrap:anywhere}}summary{{cursor:pointer;color:#777}}
""".strip()
CARD_CSS = """
.dishvl .strip{display:flex;gap:4px;margin-top:4px}
.dishvl .strip img,.dishvl .strip .nophoto{width:110px;height:110px;object-fit:cover;border-radius:3px;box-sizing:border-box}
.dishvl .strip .asked img{border:3px solid #b3362b}
.dishvl .nophoto{display:inline-flex;align-items:center;justify-content:center;min-width:84px;min-height:84px;background:#eee;color:#777;font-size:12px}
.dishvl .card{box-sizing:border-box;border:1px solid #e2e2e2;border-radius:6px;padding:12px;line-height:1.5}
.dishvl .card>img{width:100%;max-height:230px;object-fit:contain;background:#f5f5f5}
.dishvl .card p{margin:6px 0}.dishvl .prompt{background:#f2f5f8;padding:6px 8px;border-radius:4px;font-size:13px;overflow-wrap:anywhere}
.dishvl .faint{color:#777;font-size:12px;overflow-wrap:anywhere}.dishvl .right{color:#2f7d4f}.dishvl .wrong{color:#b3362b}
.dishvl .scores td{padding:1px 10px 1px 0;font-size:13px;text-align:left}
.dishvl .scores i{display:inline-block;height:9px;background:#9db4c8}.dishvl .scores .truth td:first-child{font-weight:bold}
.dishvl .cell{display:flex;align-items:center;justify-content:center;gap:6px;color:#777}
.dishvl .cell img,.dishvl .cell .nophoto{width:84px;height:84px;object-fit:cover;border-radius:3px}
.dishvl .near{display:flex;gap:6px;font-size:12px;line-height:1.35}.dishvl .near span{width:76px;overflow-wrap:anywhere}
.dishvl .near img,.dishvl .near .nophoto{width:76px;height:76px;min-width:0;min-height:0;object-fit:cover;border-radius:3px}
.dishvl .sides{display:flex;gap:28px;flex-wrap:wrap}.dishvl .long{max-height:320px;overflow-y:auto}
.dishvl-marks:focus{outline:2px solid #2c5f8a;outline-offset:-2px}.dishvl-label{overflow:hidden;white-space:nowrap}
.dishvl p.cell{margin:0;text-align:center}
.dishvl .facts td{padding:1px 10px 1px 0;font-size:13px;text-align:left;vertical-align:top}.dishvl .facts td:first-child{color:#777;white-space:nowrap}
.dishvl .facts .differs td:last-child{background:#f6e7c8}
.dishvl .badge{background:#f6e7c8;border-radius:4px;padding:2px 8px;font-size:13px}
""".strip()

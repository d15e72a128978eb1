"""The style sheet of the report page and of the widgets' cards. It names no font or picture outside the page."""

CSS = """
body{font:15px/1.55 "Noto Sans CJK SC","PingFang SC","Microsoft YaHei","WenQuanYi Micro Hei",system-ui,sans-serif;
 color:#222;max-width:1120px;margin:24px auto;padding:0 20px}
h1{font-size:26px;margin:0 0 8px}h2{font-size:18px;margin:32px 0 8px;border-bottom:1px solid #ddd;padding-bottom:4px}
.notes{background:#f6f3ea;border-left:4px solid #c8b48a;padding:8px 12px 8px 28px;margin:12px 0}
.scroll{overflow-x:auto}table{border-collapse:collapse}
table.data td,table.data th,table.pairs td,table.pairs th{padding:5px 12px 5px 0;text-align:left;border-bottom:1px solid #eee;
 vertical-align:top;font-variant-numeric:tabular-nums}
th{color:#777;font-weight:normal;font-size:13px}table.data td{white-space:nowrap}
.strip{display:flex;gap:4px;margin-top:4px}.strip img,.strip .nophoto{width:110px;height:110px;object-fit:cover;border-radius:3px}
.nophoto{display:inline-flex;align-items:center;justify-content:center;min-width:110px;min-height:110px;background:#eee;color:#777;font-size:12px}
.figure{max-width:100%}.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(320px,1fr));gap:14px}
.card{border:1px solid #e2e2e2;border-radius:6px;padding:12px}.card img{width:100%;max-height:230px;object-fit:contain;background:#f5f5f5}
.card p{margin:6px 0}.prompt{background:#f2f5f8;padding:6px 8px;border-radius:4px;font-size:13px;overflow-wrap:anywhere}
.faint{color:#777;font-size:12px;overflow-wrap:anywhere}.right{color:#2f7d4f}.wrong{color:#b3362b}
.scores td{padding:1px 10px 1px 0;font-size:13px}.scores i{display:inline-block;height:9px;background:#9db4c8}.scores .truth td:first-child{font-weight:bold}
pre{background:#f5f5f5;padding:10px;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere}summary{cursor:pointer;color:#777}
""".strip()

/* report.html: one page that needs nothing beside itself. Pictures are data: URIs, curves and bars are SVG, colours follow the
 * reader's light or dark setting. It is written beside and renamed, so that a reader never meets half a page. Functions that can fail say nothing: whoever calls them does. */
#include "tool.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char style[] =
    ":root{--bg:#fff;--fg:#1c2128;--dim:#5d6673;--line:#d8dde4;--card:#f5f6f8;--bar:#3568b2;--still:#9aa5b4;--best:#18703f}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171c;--fg:#e3e7ec;--dim:#98a2af;--line:#343b45;--card:#1d2128;--bar:#6b9ee6;--still:#66707d;--best:#63c78f}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;padding:1.2rem;max-width:1280px;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}\n"
    "h1{font-size:1.6rem;margin:.2rem 0}h2{font-size:1.2rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}h3{font-size:1rem;margin:0 0 .4rem;overflow-wrap:anywhere}\n"
    "p{margin:.3rem 0 .6rem;max-width:75ch}.dim,small,figcaption{color:var(--dim)}figure{margin:0 0 .8rem}\n"
    "img{display:block;max-width:100%;height:auto;image-rendering:pixelated;border-radius:3px}\n"
    ".cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,23rem),1fr));gap:.9rem}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.8rem;min-width:0}.card p{font-size:.86rem;color:var(--dim);margin:.5rem 0 0}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.25rem .5rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}th:first-child,td:first-child{text-align:left}\n"
    "thead th{white-space:normal;vertical-align:bottom;line-height:1.25;color:var(--dim);font-weight:600;font-size:.85rem}.best{color:var(--best);font-weight:700}tr.still td{color:var(--dim)}\n"
    ".bar{display:grid;grid-template-columns:7rem minmax(2rem,1fr) 9.8rem;gap:.5rem;align-items:center;font-size:.86rem;font-variant-numeric:tabular-nums}\n"
    ".bar>span:first-child{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.bar>span:last-child{text-align:right;white-space:nowrap}\n"
    ".bar svg{width:100%;height:12px;overflow:hidden}.bar rect{fill:var(--bar)}.bar .still{fill:var(--still)}.bar line{stroke:var(--fg);stroke-width:1.5}\n"
    ".bar>span.why{grid-column:2/4;text-align:left;white-space:normal;color:var(--dim);font-size:.78rem;line-height:1.3}\n"
    ".curve svg{width:100%;height:120px;display:block;border:solid var(--line);border-width:0 0 1px 1px}.curve polyline{fill:none;stroke:var(--bar);stroke-width:1.5}\n"
    ".ends{display:flex;justify-content:space-between;font-size:.78rem;color:var(--dim);font-variant-numeric:tabular-nums}\n"
    "pre{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.8rem;font-size:.8rem}details{margin:.8rem 0}\n"
    "@media(max-width:30rem){body{padding:.6rem}.bar{grid-template-columns:5.2rem minmax(2rem,1fr) 9rem;font-size:.8rem}}\n";

/* Text as HTML shows it. */
void report_text(tool_report *r, const char *text) {
    for (; *text; text++)
        if (*text == '<') fputs("&lt;", r->file);
        else if (*text == '&') fputs("&amp;", r->file);
        else if (*text == '"') fputs("&quot;", r->file);
        else fputc(*text, r->file);
}

/* Begins DIR/report.html. refresh: seconds after which a browser that shows it loads it again; 0: never. */
int report_open(tool_report *r, const char *dir, const char *title, int refresh) {
    if ((size_t)snprintf(r->path, sizeof r->path, "%s/report.html", dir) >= sizeof r->path - 8) return TOOL_FAILED;
    snprintf(r->beside, sizeof r->beside, "%s.tmp", r->path);
    r->file = fopen(r->beside, "wb");
    if (!r->file) return TOOL_FAILED;
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
          "<meta name=\"color-scheme\" content=\"light dark\">", r->file);
    if (refresh) fprintf(r->file, "<meta http-equiv=\"refresh\" content=\"%d\">", refresh);
    fputs("<title>", r->file);
    report_text(r, title);
    fprintf(r->file, "</title>\n<style>\n%s</style></head><body>\n<h1>", style);
    report_text(r, title);
    fputs("</h1>\n", r->file);
    return TOOL_DONE;
}

/* Renames a file that is whole to the name of one that it takes the place of. */
int tool_replace(const char *whole, const char *path) {
#if defined(_WIN32)
    remove(path); /* rename doesn't replace there */
#endif
    return rename(whole, path);
}

int report_close(tool_report *r) {
    int done;
    fprintf(r->file, "<p class=\"dim\"><small>genai %s</small></p>\n</body></html>\n", genai_version());
    done = !ferror(r->file);
    done &= !fclose(r->file);
    if (done && !tool_replace(r->beside, r->path)) return TOOL_DONE;
    remove(r->beside);
    return TOOL_FAILED;
}

/* The PNG file as it is, inside the page; `scale` times its size where there is room. Nothing if there is no such file. */
void report_picture(tool_report *r, const char *file, const char *caption, int scale) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char     b[24];
    size_t            n;
    FILE             *f = fopen(file, "rb");
    if (!f) return;
    n = fread(b, 1, 24, f); /* width and height stand in bytes 16 to 23 */
    if (n == 24) {
        long width = (long)b[16] << 24 | (long)b[17] << 16 | (long)b[18] << 8 | b[19], height = (long)b[20] << 24 | (long)b[21] << 16 | (long)b[22] << 8 | b[23];
        fputs("<figure><img alt=\"", r->file);
        report_text(r, caption);
        fprintf(r->file, "\" width=\"%ld\" height=\"%ld\" src=\"data:image/png;base64,", scale * width, scale * height);
        for (rewind(f); (n = fread(b, 1, 3, f)) > 0;) {
            unsigned long bits = (unsigned long)b[0] << 16 | (n > 1 ? (unsigned long)b[1] << 8 : 0) | (n > 2 ? b[2] : 0);
            for (size_t k = 0; k < 4; k++) fputc(k > n ? '=' : digits[bits >> (18 - 6 * k) & 63], r->file);
        }
        fputs("\"><figcaption>", r->file);
        report_text(r, caption);
        fputs("</figcaption></figure>\n", r->file);
    }
    fclose(f);
}

/* --- curves: the losses of a run's metrics.csv and what else has one number a row --- */
enum { MOST_COLUMNS = 48, POINTS = 240, LINE = 65536 };

static int split(char *line, char *cell[MOST_COLUMNS]) {
    int n = 0;
    for (char *p = line; n < MOST_COLUMNS;) {
        cell[n++] = p;
        p += strcspn(p, ",\r\n");
        if (*p != ',') return *p = 0, n;
        *p++ = 0;
    }
    return n;
}

static int is_curve(const char *name) {
    static const char *const no[] = {"step", "epoch", "seconds", "images_per_s", "skipped", "kl_latents"};
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (!strcmp(name, no[i])) return 0;
    return 1;
}

/* Its curves, each the means of up to 240 groups of steps, as cards. seconds: what its last row says; negative: no such file. */
void report_curves(tool_report *r, const char *csv, double *seconds) {
    FILE   *f = fopen(csv, "r");
    char   *line = (char *)malloc(LINE), *head = (char *)malloc(LINE), *name[MOST_COLUMNS], *cell[MOST_COLUMNS];
    double *sum = (double *)calloc(MOST_COLUMNS * POINTS, sizeof *sum), *count = (double *)calloc(MOST_COLUMNS * POINTS, sizeof *count), last = 0;
    int     columns = 0, n, c, k;
    *seconds = -1;
    if (f && line && head && sum && count && fgets(head, LINE, f)) {
        columns = split(head, name);
        while (fgets(line, LINE, f))
            if (split(line, cell) > 2) last = atof(cell[0]), *seconds = atof(cell[2]);
        rewind(f);
        if (!fgets(line, LINE, f)) last = 0;
        while (last > 0 && fgets(line, LINE, f)) {
            n = split(line, cell);
            k = (int)((atof(cell[0]) - 1) * POINTS / last);
            for (c = 0; c < n && c < columns && k >= 0 && k < POINTS; c++)
                if (cell[c][0]) sum[c * POINTS + k] += atof(cell[c]), count[c * POINTS + k]++;
        }
        if (r) fputs("<div class=\"cards\">\n", r->file);
        for (c = 0; c < columns && r; c++) {
            double low = 0, high = 0, y = 0;
            for (n = 0, k = 0; k < POINTS; k++) {
                if (!(count[c * POINTS + k] > 0)) continue;
                y = sum[c * POINTS + k] /= count[c * POINTS + k];
                if (!n++ || y < low) low = y;
                if (n == 1 || y > high) high = y;
            }
            if (n < 2 || !is_curve(name[c])) continue;
            fputs("<div class=\"card curve\"><h3>", r->file);
            report_text(r, name[c]);
            fprintf(r->file, "</h3><div class=\"ends\"><span>%.4g</span><span>last %.4g</span></div><svg viewBox=\"0 0 %d 100\" preserveAspectRatio=\"none\">", high, y, POINTS - 1);
            fputs("<polyline vector-effect=\"non-scaling-stroke\" points=\"", r->file);
            for (k = 0; k < POINTS; k++)
                if (count[c * POINTS + k] > 0) fprintf(r->file, "%d,%.1f ", k, high > low ? 98 - 96 * (sum[c * POINTS + k] - low) / (high - low) : 50.0);
            fprintf(r->file, "\"/></svg><div class=\"ends\"><span>%.4g</span><span>step %.0f</span></div></div>\n", low, last);
        }
        if (r) fputs("</div>\n", r->file);
    }
    if (f) fclose(f);
    free(line);
    free(head);
    free(sum);
    free(count);
}

/* --- the report of a training --- */

/* DIR/report.html as the run stands after `step` steps, whose pictures are in DIR/samples. */
int report_run(const char *dir, genai_model *model, long step, int finished) {
    tool_report      r;
    genai_model_desc d = genai_model_resolved(model);
    char             title[256], path[4096], text[16384];
    double           seconds;
    long             shown = 0;
    snprintf(title, sizeof title, "%s, %s", d.preset, genai_model_family(model));
    if (report_open(&r, dir, title, finished ? 0 : 15)) return TOOL_FAILED;
    fprintf(r.file, "<p>Step %ld%s. Images %dx%dx%d, %d latents, seed %llu.</p>\n", step, finished ? ", finished" : "; training goes on", d.width, d.height, d.channels, d.latent,
            (unsigned long long)genai_model_seed(model));
    fputs("<h2>Now</h2>\n<div class=\"cards\">", r.file);
    snprintf(path, sizeof path, "%s/samples/step-%06ld.png", dir, step);
    report_picture(&r, path, d.latent ? "Samples, from the same latents at every step" : "Images above what becomes of them", 2);
    snprintf(path, sizeof path, "%s/samples/reconstruction-%06ld.png", dir, step);
    report_picture(&r, path, "Images, unseen ones where there are any, above what the model makes of them", 2);
    fputs("</div>\n<h2>Curves</h2>\n<p>How a loss is read depends on the family; genai.h, MANUAL, says it for each. Losses of different families can't be compared: "
          "that is what <code>genai compare</code> is for.</p>\n", r.file);
    snprintf(path, sizeof path, "%s/metrics.csv", dir);
    report_curves(&r, path, &seconds);
    fputs("<h2>On the way</h2>\n<div class=\"cards\">\n", r.file);
    for (long round = 1; round < step && round <= 1000000000; round *= 10)
        for (long k = 1; k <= 5; k = k == 1 ? 2 : k + 3) {
            long at = k * round;
            if (at >= step || (step > 2000 && k != 1 && at < step / 100)) continue;
            snprintf(path, sizeof path, "%s/samples/step-%06ld.png", dir, at);
            snprintf(title, sizeof title, "Step %ld", at);
            report_picture(&r, path, title, 1);
            shown++;
        }
    fputs(shown ? "</div>\n" : "</div><p class=\"dim\">Nothing yet.</p>\n", r.file);
    fputs("<h2>Model</h2>\n<details><summary>Settings and layers</summary><pre>", r.file);
    genai_model_describe(model, text, sizeof text);
    report_text(&r, text);
    fputs("</pre></details>\n", r.file);
    return report_close(&r);
}

//! The page on small screens, enlarged, and in the colours of its user.

use serde_json::json;

use super::browser::Page;
use crate::support::TestServer;

impl Page {
    async fn screen(&self, width: u32, height: u32, scale: f32, mobile: bool) {
        let screen = json!({
            "width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile
        });
        self.browser
            .emulate("setDeviceMetricsOverride", screen)
            .await;
        self.until(&format!("innerWidth === {width}")).await;
    }
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn messages_are_right_below_the_form_on_small_screens() {
    let server = TestServer::start().await;
    let page = Page::of("page-small", &server).await;
    // A phone; 1,280 × 800 and 1,920 × 1,080 at 200 %.
    for (width, height) in [(390, 844), (640, 400), (960, 540)] {
        page.screen(width, height, 2.0, width < 600).await;
        let gap = "document.querySelector('.journal').getBoundingClientRect().top
            - document.getElementById('send').closest('.card').getBoundingClientRect().bottom";
        let gap = page.value(gap).await;
        assert!(
            (0.0..20.0).contains(&gap.as_f64().unwrap()),
            "{width}: {gap}"
        );
        assert_eq!(
            page.value("document.documentElement.scrollWidth <= innerWidth")
                .await,
            true
        );
    }
    page.screen(390, 844, 2.0, true).await;
    let begin = page.value("top('#list')").await;
    assert!(begin.as_f64() < Some(600.0), "{begin}");

    // Where there is room, figures are above the messages, and both beside the form.
    page.screen(1280, 800, 1.0, false).await;
    assert_eq!(page.value("top('#chart') < top('.journal')").await, true);
    assert_eq!(page.value("top('#chart') < 400").await, true);
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn forced_colours_keep_the_mark_of_the_state() {
    let server = TestServer::start().await;
    let page = Page::of("page-forced", &server).await;
    let features = json!({ "features": [{ "name": "forced-colors", "value": "active" }] });
    page.browser.emulate("setEmulatedMedia", features).await;
    page.until("matchMedia('(forced-colors: active)').matches")
        .await;
    let mark = "((style) => [style.backgroundColor !== 'rgba(0, 0, 0, 0)'
            && style.backgroundColor !== getComputedStyle(document.body).backgroundColor,
        style.borderTopStyle, style.borderRadius, style.height])(getComputedStyle(field('state'), '::before'))";
    let open = page.value(mark).await;
    assert_eq!(open, json!([true, "none", "50%", "9px"]));
    page.browser.click("disconnect").await;
    page.until("text('state-title') === 'Closed 1000'").await;
    let closed = page.value(mark).await;
    assert_eq!(closed, json!([true, "none", "1px", "3px"]));
    page.browser.click("connect").await;
    page.until("text('state-title') === 'Connected'").await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_labels_of_the_chart_are_within_it() {
    let server = TestServer::start().await;
    let page = Page::of("page-chart", &server).await;
    let watch = "(window.tops = {}, CanvasRenderingContext2D.prototype.fillText = (label, x, y) => (tops[label] = y), 0)";
    page.value(watch).await;
    // Close below a whole decade, and above one.
    for delay in ["97ms", "110ms"] {
        page.browser
            .fill("url", &format!("/?do=delay:{delay}"))
            .await;
        page.browser.click("connect").await;
        page.until("text('state-title') === 'Connected'").await;
        page.value("field('clear').click()").await;
        page.say("late").await;
        page.until("text('echo-count') === '1'").await;
        page.value("(window.tops = {}, 0)").await;
        page.until("tops.p99 !== undefined && tops.p50 !== undefined")
            .await;
        let tops = page.value("tops").await;
        // The text is 11 px high, and its place is that of its base line.
        let height = page.value("field('chart').clientHeight").await;
        for label in ["p50", "p99"] {
            let top = tops[label].as_f64().unwrap();
            assert!(
                top >= 11.0 && Some(top) < height.as_f64(),
                "{label}: {tops}"
            );
        }
    }
    page.close().await;
}

//! The page by keyboard alone, and with a file that is dropped on it.

use super::browser::{ENTER, Page};
use crate::support::TestServer;

/// Keys, as WebDriver has them.
const TAB: &str = "\u{e004}";
const SHIFT: char = '\u{e008}';

/// Further than any control is from any other.
const MOST_TABS: usize = 60;

impl Page {
    pub async fn press(&self, keys: &str) {
        self.browser.press(None, keys).await;
    }

    /// Moves the focus on, or back with [`SHIFT`], until this selector has it, and can be seen to.
    pub async fn tab_to(&self, held: Option<char>, selector: &str) {
        let has_focus = format!("document.activeElement.matches('{selector}:focus-visible')");
        for _ in 0..MOST_TABS {
            self.browser.press(held, TAB).await;
            if self.value(&has_focus).await == true {
                let outline = "getComputedStyle(document.activeElement).outlineStyle";
                assert_eq!(self.value(outline).await, "solid", "{selector}");
                return;
            }
        }
        panic!("the focus does not come to {selector}");
    }
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_page_can_be_used_by_keyboard_alone() {
    let server = TestServer::start().await;
    let page = Page::of("page-keyboard", &server).await;
    page.tab_to(None, "#body").await;
    page.press(&format!("by keyboard{ENTER}")).await;
    page.until("preview(last('text')).includes('by keyboard')")
        .await;

    page.tab_to(None, "#faults-card > summary").await;
    page.press(ENTER).await;
    page.tab_to(None, "#step").await;
    assert_eq!(page.value("document.activeElement.value").await, "close");
    page.tab_to(None, "#step-when").await;
    page.press(&format!("1msg{ENTER}")).await;
    page.until("text('faults-count') === '1 in the URL'").await;
    page.tab_to(Some(SHIFT), "#connect").await;
    page.press(ENTER).await;
    page.until("rows().filter((row) => preview(row).startsWith('Connected')).length === 2")
        .await;
    page.tab_to(None, "#body").await;
    page.press(ENTER).await;
    page.until("text('state-title') === 'Closed 4001'").await;

    page.tab_to(None, ".entry summary").await;
    page.press(ENTER).await;
    page.until("document.querySelector('.entry details[open] .detail') !== null")
        .await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn a_dropped_file_is_sent_as_a_binary_message() {
    let server = TestServer::start().await;
    let page = Page::of("page-drop", &server).await;
    let script = "
        const [done] = arguments;
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([new Uint8Array([0, 1, 254, 255])], 'four.bin'));
        const fire = (type) =>
            document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
        const isTaken = !fire('dragover');
        const isMarked = document.body.classList.contains('dropping');
        fire('drop');
        done([isTaken, isMarked, document.body.classList.contains('dropping')]);";
    let marks = page.browser.run(script, Vec::new()).await;
    assert_eq!(marks, serde_json::json!([true, true, false]));
    page.until("text('echo-count') === '2'").await;
    assert_eq!(page.value("preview(last('binary'))").await, "00 01 fe ff");
    page.close().await;
}

//! QR codes: on the terminal and as SVG.
use crate::exit::{FAILED, Failure};
use qrcode::render::{svg, unicode};
use qrcode::{EcLevel, QrCode};

/// For a terminal: two modules a character, dark on light as scanners want it whatever the terminal's colours are.
pub(super) fn terminal(text: &str) -> Result<String, Failure> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L)
        .map_err(|error| Failure::new(FAILED, format_args!("QR code: {error}")))?;
    let drawn = code
        .render::<unicode::Dense1x2>()
        .dark_color(unicode::Dense1x2::Light)
        .light_color(unicode::Dense1x2::Dark)
        .build();
    Ok(drawn)
}

/// As SVG; nothing where the text is too long for a code (2,953 bytes).
pub(super) fn svg(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    Some(code.render::<svg::Color<'_>>().min_dimensions(320, 320).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_drawn() {
        assert!(svg("hello").is_some_and(|text| text.contains("<svg")));
        assert!(svg(&"x".repeat(4000)).is_none());
        assert!(terminal("hello").unwrap().lines().count() > 10);
    }
}

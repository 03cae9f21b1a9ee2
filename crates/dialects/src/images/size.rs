//! `size`: pixels, or the nearest aspect ratio for models without sizes in pixels.

use serde_json::{Map, Value};

use crate::{
    families::{ImageShape, ImageSizes, ModelCapabilities},
    translation::{
        RequestError,
        json::{FieldPath, Object},
        warnings::Warnings,
    },
};

/// Takes `size` out of a body and adds the model's fields to `common`.
pub(super) fn take(
    body: &mut Object<'_>,
    shape: &ImageShape,
    capabilities: &ModelCapabilities,
    common: &mut Map<String, Value>,
    warnings: &mut Warnings,
) -> Result<(), RequestError> {
    let Some(size) = body
        .string("size", &FieldPath::Root)?
        .filter(|size| size != "auto")
    else {
        return Ok(());
    };
    let pixels = size.split_once('x').and_then(|(width, height)| {
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
        Some((number(width)?, number(height)?))
    });
    let Some((width, height)) = pixels else {
        return Err(RequestError::invalid(
            "size",
            format!("{size:?} is not supported; use auto or a size such as 1024x1024"),
        ));
    };
    match &shape.sizes {
        ImageSizes::Sides { least, most, step } => {
            let fits =
                |side: u32| (*least..=*most).contains(&side) && side.is_multiple_of((*step).max(1));
            if !fits(width) || !fits(height) {
                return Err(RequestError::invalid(
                    "size",
                    format!(
                        "{} supports sides of {least} to {most} pixels that are multiples of {step}",
                        capabilities.title
                    ),
                ));
            }
            set_pixels(common, width, height);
        }
        ImageSizes::Listed(sizes) => {
            if !sizes.iter().any(|known| *known == size) {
                return Err(RequestError::invalid(
                    "size",
                    format!("{} supports {}", capabilities.title, sizes.join(", ")),
                ));
            }
            set_pixels(common, width, height);
        }
        ImageSizes::Ratios(ratios) => {
            let wanted = f64::from(width) / f64::from(height);
            let near = |ratio: &&String| {
                let ratio = value(ratio).unwrap_or(1.0);
                (ratio / wanted).ln().abs()
            };
            let nearest = ratios
                .iter()
                .min_by(|one, other| near(one).total_cmp(&near(other)));
            if let Some(nearest) = nearest {
                let how = format!(
                    "{} chooses the size for the aspect ratio {nearest}",
                    capabilities.title
                );
                warnings.changed("size", &how)?;
                common.insert("aspect_ratio".to_owned(), nearest.as_str().into());
            }
        }
    }
    Ok(())
}

fn set_pixels(common: &mut Map<String, Value>, width: u32, height: u32) {
    common.insert("width".to_owned(), width.into());
    common.insert("height".to_owned(), height.into());
}

/// `16:9` as a number.
fn value(ratio: &str) -> Option<f64> {
    let (width, height) = ratio.split_once(':')?;
    let (width, height): (f64, f64) = (width.parse().ok()?, height.parse().ok()?);
    (height > 0.0).then_some(width / height)
}

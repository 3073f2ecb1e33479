//! Reads the frames of one encoding, in the order in which its packets come: what a packet says of layers
//! is only understood with what an earlier one told. Must not measure or choose.

use super::{Descriptor, Packet, dependency::DependencyReader, vp9::Vp9Layers};

/// What is known of the layers of an encoding.
#[derive(Debug, Clone, Default)]
pub(crate) struct LayerReader {
    dependencies: DependencyReader,
    vp9: Option<Vp9Layers>,
}

impl LayerReader {
    /// The stream begins anew.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Reads the frame of a packet into it. VP8 says all there is in its own descriptor.
    pub(crate) fn read(&mut self, packet: &mut Packet) {
        if !packet.has_layers() {
            return;
        }
        let dependencies = packet.elements.dependencies.as_ref();
        packet.frame = dependencies.and_then(|bytes| self.dependencies.read(&bytes.0));
        if let Descriptor::Vp9(vp9) = &packet.descriptor {
            if vp9.layers.is_some() {
                self.vp9 = vp9.layers;
            }
            if packet.frame.is_none() {
                let told = self.vp9.map(|layers| layers.top);
                // Without layer indices there is one layer.
                let top = if vp9.has_layers { told } else { Some(0) };
                packet.frame = Some(vp9.frame(top));
            }
        }
    }

    /// Width and height of a spatial layer, by VP9's own structure.
    pub(crate) fn vp9_size(&self, spatial: u8) -> Option<(u32, u32)> {
        let (width, height) = *self.vp9.as_ref()?.sizes.get(usize::from(spatial))?;
        (width > 0 && height > 0).then_some((width.into(), height.into()))
    }

    /// Number of spatial layers, by VP9's own structure.
    pub(crate) fn vp9_layers(&self) -> Option<u8> {
        self.vp9.map(|layers| layers.top + 1)
    }
}

/* CRC-32 of the sources that the firmware is built from, which a generated project has in this place. */
#ifndef OFA_IMAGE_H
#define OFA_IMAGE_H

#define OFA_IMAGE_CRC32 0x00000000u

#endif
